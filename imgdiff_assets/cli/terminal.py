"""What commands print beside their answer: progress on stderr; JSON; how this program is called again."""

import json
import shutil
import sys
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from tqdm import tqdm

WARNING_WIDTH = 98


class ProgressBars:
    """A bar per measurement on a terminal, elsewhere a line when one is done. A context manager; all on stderr."""

    def __init__(self, unit: str = "row") -> None:
        self._unit = unit
        self._what: str | None = None
        self._bar: tqdm[Any] | None = None
        self._started = 0.0

    def __enter__(self) -> "ProgressBars":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._close()

    def __call__(self, what: str, done: int, total: int) -> None:
        """`done` of `total` rows of `what` are done."""
        if what != self._what:
            self._close()
            self._open(what, total)
        if self._bar is not None:
            self._bar.update(done - self._bar.n)
        if done >= total:
            if self._bar is None:
                click.echo(f"{what}: {total} {self._unit}s in {time.monotonic() - self._started:.1f} s", err=True)
            self._close()

    def _open(self, what: str, total: int) -> None:
        from tqdm import tqdm

        self._what, self._started = what, time.monotonic()
        if sys.stderr.isatty():
            self._bar = tqdm(total=total, desc=f"{what:<26}", unit=self._unit, dynamic_ncols=True)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
        self._what, self._bar = None, None


def echo_json(value: Any) -> None:
    """Print one JSON document."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2))


def begin(what: str, quiet: bool = False) -> None:
    """Say to a person what is under way, before anything large is imported, which takes seconds."""
    if sys.stderr.isatty() and not quiet:
        click.echo(f"{what} ...", err=True)


def echo_next(*steps: tuple[str, str]) -> None:
    """Print what may be done next: the words behind `imgdiff`, and what for."""
    width = max(len(words) for words, _ in steps)
    for number, (words, purpose) in enumerate(steps):
        click.echo(f"{'Next: ' if number == 0 else '      '}{this_command()} {words:<{width}}  {purpose}".rstrip())


def warn_in_a_frame(lines: Sequence[str]) -> None:
    """Print a warning that is not overlooked, on stderr."""
    rule = "═" * WARNING_WIDTH
    wrapped = [part for line in lines for part in textwrap.wrap(line, WARNING_WIDTH, break_on_hyphens=False)]
    click.secho("\n".join([rule, "WARNING", *wrapped, rule]), fg="red", bold=True, err=True)


def this_command() -> str:
    """How the user can call this program again: `imgdiff` if that is on the path, else as it was called."""
    if shutil.which("imgdiff"):
        return "imgdiff"
    return f"{Path(sys.executable).name} -m imgdiff_assets.cli.main" if sys.argv[0].endswith(".py") else sys.argv[0]
