"""Runs a server, and ends it with all that it started: `python -m resources.serving.guard COMMAND...`.

Whoever starts this keeps the other end of its standard input. When that end is gone, however its owner ended, SIGKILL
too, the server and its descendants are ended: first asked, then killed. Nothing is read from the input.
"""

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
GRACE = 5.0
"""Seconds between asking and killing."""

LOOK = 0.2


def main(command: list[str]) -> int:
    """Returns the server's exit status, or 0 when it was ended from here."""
    # What the server leaves behind becomes a child of this process, and is found.
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(0))
    server = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=_end_with_the_guard
    )
    try:
        while server.poll() is None:
            readable, _, _ = select.select([sys.stdin.fileno()], [], [], LOOK)
            if readable and not os.read(sys.stdin.fileno(), 1024):
                return 0
        return server.returncode
    finally:
        _end_all()


def _end_with_the_guard() -> None:
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _prctl(option: int, value: int) -> None:
    """On Linux; elsewhere the pipe alone has to do."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def _end_all() -> None:
    """End all descendants."""
    until = time.monotonic() + GRACE
    asked = set[int]()
    while found := list(_descendants()):
        urgent = time.monotonic() > until
        for process in found:
            if urgent or process not in asked:
                _signal(process, signal.SIGKILL if urgent else signal.SIGTERM)
                asked.add(process)
        _reap()
        time.sleep(0.02)


def _reap() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _signal(process: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, number)


def _descendants() -> Iterator[int]:
    """The processes that come from this one, by what the kernel tells of each one's parent."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                told = (entry / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            except OSError:
                continue
            if told[0] != "Z" or int(told[1]) == os.getpid():
                parents[int(entry.name)] = int(told[1])
    below = {os.getpid()}
    while more := {process for process, parent in parents.items() if parent in below} - below:
        below |= more
    yield from below - {os.getpid()}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
