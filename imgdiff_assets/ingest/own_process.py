"""Processes that read what comes from anywhere: they have little memory, know no secret, and may die of it."""

import contextlib
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import IO

MOST_MEMORY = 4 * 2**30
ROOT = Path(__file__).parents[2]


def started(
    module: str, *arguments: str, stdin: int | IO[bytes], stderr: int, bufsize: int
) -> subprocess.Popen[bytes]:
    """Run a module without `site`, whose hooks take as long as all the rest, and without the current folder among
    its modules."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    paths = [str(ROOT), *(path for path in sys.path if path)]
    return subprocess.Popen(
        [sys.executable, "-S", "-P", "-m", module, *arguments],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=stderr,
        env={**kept, "PYTHONPATH": os.pathsep.join(paths)},
        bufsize=bufsize,
    )


def limit_memory() -> None:
    """For the process itself: what asks for more gets MemoryError."""
    with contextlib.suppress(ValueError, OSError):  # a system that sets no such limit
        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
