"""What the commands share: how errors are told, how progress is shown, how options take several values."""

import errno
import json
import shutil
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

import click

from resources.installed import BrokenPart

if TYPE_CHECKING:
    from tqdm import tqdm


as_json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of text.")
shards_option = click.option(
    "--shards", multiple=True, metavar="KEY...", help="Only these shards, such as shard-000000.  [default: all]"
)
overrides_option = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="SECTION.KEY=VALUE...",
    help="Change values of the recipe for this run.",
)
recipe_option = click.option(
    "--recipe", metavar="NAME|FILE", help="A shipped recipe or a YAML file.  [default: $IMGDIFF_RECIPE or miniature]"
)


class Commands(click.Group):
    """A group of commands whose expected errors are one sentence on stderr and exit status 1, without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise
        except (OSError, ValueError, BrokenPart) as error:
            raise click.ClickException(_sentence(error)) from error


def _sentence(error: OSError | ValueError | BrokenPart) -> str:
    if isinstance(error, OSError) and error.strerror is not None:
        place = f"{error.filename}: " if error.filename else ""
        advice = "; make room or point IMGDIFF_HOME elsewhere" if error.errno == errno.ENOSPC else ""
        return f"{place}{error.strerror}{advice}."
    return str(error) or type(error).__name__


class SeveralValues(click.Command):
    """A command without arguments, whose repeatable options also take several values at once: `--shards A B`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        repeatable = {name for option in self.params if _is_repeatable(option) for name in option.opts}
        expanded: list[str] = []
        current = None
        for index, argument in enumerate(args):
            if argument.startswith("-"):
                current = argument if argument in repeatable else None
            elif current is not None and args[index - 1] != current:
                expanded.append(current)
            expanded.append(argument)
        return super().parse_args(ctx, expanded)


def _is_repeatable(parameter: click.Parameter) -> bool:
    return isinstance(parameter, click.Option) and parameter.multiple


class ProgressBars:
    """A bar per measurement on a terminal, elsewhere a line when one is done. A context manager; all on stderr."""

    def __init__(self) -> None:
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
                click.echo(f"{what}: {total} rows in {time.monotonic() - self._started:.1f} s", err=True)
            self._close()

    def _open(self, what: str, total: int) -> None:
        from tqdm import tqdm

        self._what, self._started = what, time.monotonic()
        if sys.stderr.isatty():
            self._bar = tqdm(total=total, desc=f"{what:<26}", unit="row", dynamic_ncols=True)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
        self._what, self._bar = None, None


def echo_json(value: Any) -> None:
    """Print one JSON document."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2))


def this_command() -> str:
    """How the user can call this program again: `imgdiff` if that is on the path, else as it was called."""
    return "imgdiff" if shutil.which("imgdiff") else sys.argv[0]
