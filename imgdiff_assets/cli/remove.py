"""`imgdiff remove`."""

import click

from imgdiff_assets.cli.options import as_json_option
from imgdiff_assets.cli.terminal import begin, echo_json, this_command
from imgdiff_assets.home import Home


@click.command(short_help="Take a source down, with all that came of it.")
@click.option("--caption", metavar="ID", help="The caption or given pair with this id, or the only one it begins.")
@click.option("--picture", metavar="HASH", help="A given picture; or a drawn one, with the caption it was drawn for.")
@click.option("--file", metavar="NAME", help="All that came from a file, or from files in a folder.")
@click.option("--dry-run", is_flag=True, help="Tell what would go, and change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@as_json_option
def remove(
    caption: str | None, picture: str | None, file: str | None, dry_run: bool, yes: bool, as_json: bool
) -> None:
    """Remove a source for good: its captions or pairs, all that was made of them in tables, batches, trash and caches,
    reviews and pictures in Dagster's events. It is not taken again when it is ingested again.

    Releases stay as they are; those that hold some of it are named, and no later one does. What went is told in
    removed.jsonl of IMGDIFF_HOME, by ids and hashes. `imgdiff run` then judges what is left; nothing is measured
    again that was measured. `imgdiff shards remove` is what can be undone.

    \b
    imgdiff remove --caption 3f2a91 --dry-run
    imgdiff remove --file photos/anna.jpg
    imgdiff remove --picture HASH --yes --json
    """
    given = [(by, name) for by, name in (("caption", caption), ("picture", picture), ("file", file)) if name]
    if len(given) != 1:
        raise click.UsageError("name one source: --caption, --picture or --file.")
    ((by, name),) = given
    home = Home.from_environment()
    begin(f"Looking for {name} in {home.root}", as_json)
    from imgdiff_assets.defs.takedown import foresee, remove_source

    told = foresee(home, by, name)
    if not told.captions:
        if told.earlier is None:
            raise click.ClickException(f"nothing in {home.root} came from {by} {name}.")
        if not dry_run:
            remove_source(home, by, name)  # the cache of this machine may still show it
        text = f"Was removed on {told.earlier[:10]}; nothing of it is left."
        text += "".join(
            f"\nRelease {version} holds {count:,} of its samples." for version, count in told.releases.items()
        )
    else:
        text = told.to_text()
        if not dry_run and not yes:
            click.echo(text, err=True)
            click.confirm("Remove this for good?", abort=True, err=True)
        if not dry_run:
            told = remove_source(home, by, name)
            text = f"Removed: {told.to_text()}\nNext: {this_command()} run"
        else:
            text = f"Would go: {text}"
    if as_json:
        echo_json({**told.to_json(), "dry_run": dry_run})
    else:
        click.echo(text)
