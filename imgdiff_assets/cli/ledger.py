"""`imgdiff ledger`."""

import sys
from collections.abc import Mapping, Sequence

import click

from imgdiff_assets.cli.options import Number, SeveralValues, as_json_option, overrides_option, recipe_option
from imgdiff_assets.cli.terminal import ProgressBars, echo_json
from imgdiff_assets.common.plain_text import bytes_text, counted
from imgdiff_assets.home import Home


@click.group(short_help="Look after what is on disk.")
def ledger() -> None:
    """Look after what is on disk: the tables, captions, images and verdicts in IMGDIFF_HOME."""


@ledger.command()
@click.option("--add", is_flag=True, help="Give checksums to whole files of releases that wrote none.")
@click.option(
    "--rate",
    type=Number(0, min_open=True),
    metavar="MB",
    help="Read at most so many megabytes a second.  [default: no limit]",
)
@as_json_option
def verify(add: bool, rate: float | None, as_json: bool) -> None:
    """Read every byte and compare it with its checksum.

    A damaged table is moved aside, and the next run measures again what is lost of it; captions and given images are
    restored from the tables that were made of them. Exit status 1 if anything was damaged.

    \b
    imgdiff ledger verify
    imgdiff ledger verify --rate 50 --json
    """
    from imgdiff_assets.defs.verified_home import verify_home

    home = Home.from_environment()
    result = verify_home(home, None if rate is None else rate * 1e6, add, lambda text: click.echo(text, err=True))
    if as_json:
        echo_json(result.to_json())
    else:
        click.echo(f"{counted(result.files, 'file')} read, {bytes_text(result.bytes)}: as they were written")
        if missing := result.without_checksums - result.given_checksums:
            click.echo(f"{counted(missing, 'file')} without checksums, which `imgdiff ledger verify --add` gives them")
        if result.given_checksums:
            click.echo(f"{counted(result.given_checksums, 'file')} given checksums")
        for file, numbers in result.unreadable.items():
            lines = counted(len(numbers), "line")
            click.echo(f"{file}: {lines} cannot be read and passed over, the first is {numbers[0]}")
        for finding in result.findings:
            click.echo(str(finding))
        if result.findings:
            click.echo("`imgdiff run` makes again what is lost.")
    if result.findings:
        sys.exit(1)


@ledger.command(short_help="Put images of before into files of their own.")
@as_json_option
def migrate(as_json: bool) -> None:
    """Bring every table to this release's format: images in parts, which no changed verdict writes again.

    Tables of before are read as they are, and converted when they are rewritten; this does it at once. It may be
    stopped at any moment and given again. Earlier releases cannot read what it wrote.

    \b
    imgdiff ledger migrate
    imgdiff ledger migrate --json
    """
    from imgdiff_assets.defs.compacting import migrate_home

    home = Home.from_environment()
    with ProgressBars("shard") as bars:
        result = migrate_home(home, lambda text: click.echo(text, err=True), bars)
    if as_json:
        echo_json(result.to_json())
    else:
        click.echo(f"{counted(result.tables, 'table')} converted" if result.tables else "All tables were converted.")
    _tell_passed_over(result.passed_over)


@ledger.command(cls=SeveralValues, short_help="Give back the room of images that nothing needs.")
@recipe_option
@overrides_option
@click.option(
    "--grace",
    type=Number(0),
    metavar="HOURS",
    default=24.0,
    show_default=True,
    help="Leave what was put there later: a page may still show it.",
)
@click.option("--dry-run", is_flag=True, help="Tell what would be deleted, and change nothing.")
@as_json_option
def compact(recipe: str | None, overrides: Sequence[str], grace: float, dry_run: bool, as_json: bool) -> None:
    """Delete the image files that no table and no unfinished batch names, in shards that no run holds.

    Where the recipe says `retention: {rejected_images: 30d}`, images that no kept or reviewed sample shows are dropped
    after so many days; their rows, scores and hashes stay, and `imgdiff replay ID` makes them again. What is dropped
    is deleted when its grace is over.

    \b
    imgdiff ledger compact --dry-run
    imgdiff ledger compact --set retention.rejected_images=30d
    imgdiff ledger compact --grace 0 --json
    """
    from imgdiff_assets.defs.compacting import compact_home
    from imgdiff_assets.recipe.chosen_recipe import load_recipe

    home = Home.from_environment()
    with ProgressBars("shard") as bars:
        result = compact_home(home, load_recipe(recipe, overrides), grace, dry_run, bars)
    if as_json:
        echo_json({**result.to_json(), "dry_run": dry_run})
    else:
        room, done = result.room, "would be deleted" if dry_run else "deleted"
        if room.images:
            click.echo(f"{counted(room.images, 'image')} dropped, as the recipe's retention says")
        click.echo(f"{counted(room.files, 'file')} {done}, {bytes_text(room.bytes)}")
    _tell_passed_over(result.passed_over)


@ledger.command(short_help="What takes the room.")
@as_json_option
def size(as_json: bool) -> None:
    """Tell what takes the room in IMGDIFF_HOME: images, tables, captions, batches, and what was set aside.

    \b
    imgdiff ledger size
    imgdiff ledger size --json
    """
    from imgdiff_assets.statistics.room_taken import room_taken

    rooms = room_taken(Home.from_environment())
    if as_json:
        echo_json([room.to_json() for room in rooms])
        return
    width = max((len(room.what) for room in rooms), default=0)
    for room in rooms:
        click.echo(f"{room.what:<{width}}  {bytes_text(room.bytes):>9}  {counted(room.files, 'file')}")


def _tell_passed_over(passed_over: Mapping[str, str]) -> None:
    """Exit status 1 where something was left."""
    for key, reason in passed_over.items():
        click.echo(f"{key} was passed over: {reason}", err=True)
    if passed_over:
        sys.exit(1)
