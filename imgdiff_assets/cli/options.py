"""The options that several commands have, and options that take several values."""

import math
import os
import shlex
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Any

import click

from imgdiff_assets.common.addresses import address
from imgdiff_assets.home import checked_name


class Number(click.FloatRange):
    """A number within bounds; `nan`, which no bound keeps out, is none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return number


class Count(Number):
    """A whole number of one or more, which may be written as 1e6."""

    name = "integer"

    def __init__(self) -> None:
        super().__init__(min=1)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        number = super().convert(value, param, ctx)
        if number != int(number):
            self.fail(f"{value!r} is not a whole number.", param, ctx)
        return int(number)


class NewPath(click.Path):
    """Where a command writes. Raises UnusableName."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return checked_name(Path(os.fsdecode(super().convert(value, param, ctx))))


class Place(click.ParamType[PurePath]):
    """A file or folder of this machine, or `s3://bucket/name`."""

    name = "place"

    def __init__(self, folder: bool = False) -> None:
        self._folder = folder

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> PurePath:
        place = value if isinstance(value, PurePath) else address(os.fsdecode(value))
        if self._folder and isinstance(place, Path) and not place.is_dir():
            self.fail(f"{place}: there is no such folder.", param, ctx)
        return place


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
    "--recipe",
    metavar="NAME|FILE",
    help="A shipped recipe or a YAML file.  [default: $IMGDIFF_RECIPE, recipe.yaml of the home, or miniature]",
)


def _licence(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    from imgdiff_assets.ledger.licences import check_licence

    try:
        return None if value is None else check_licence(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from None


licence_option = click.option(
    "--licence",
    callback=_licence,
    metavar="NAME",
    help="Under which it came, such as CC-BY-4.0: kept with the new shards, and told in the card of a release.",
)
root_option = click.option(
    "--root",
    type=Place(folder=True),
    help="A folder that the paths of images may lead into, too.  [default: that of the table alone]",
)
fit_option = click.option(
    "--fit",
    type=click.Choice(["refuse", "resize", "pad"]),
    default="refuse",
    show_default=True,
    help="Two images of different sizes: reject the pair, resize the target, or pad both with black.",
)
dry_run_option = click.option("--dry-run", is_flag=True, help="Read and tell all, and write nothing.")


def recipe_words(recipe: str | None, overrides: Sequence[str] = ()) -> str:
    """The options by which another command is given the recipe that this one was, with a space before them."""
    words = [*(["--recipe", recipe] if recipe else []), *(["--set", *overrides] if overrides else [])]
    return "".join(f" {shlex.quote(word)}" for word in words)


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
