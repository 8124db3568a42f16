"""`imgdiff shards`: look at shards, take them out, and put them back."""

from collections.abc import Sequence

import click

from imgdiff_assets.cli.options import as_json_option
from imgdiff_assets.cli.terminal import begin, echo_json, this_command
from imgdiff_assets.home import Home

keys_argument = click.argument("keys", nargs=-1, required=True, metavar="KEY...")


@click.group(short_help="List shards, look at one, remove and restore them.")
def shards() -> None:
    """The shards of a home: the groups of captions or pairs that came in together.

    \b
    imgdiff shards list
    imgdiff shards show shard-000003
    imgdiff shards remove shard-000003              what was ingested by mistake
    imgdiff shards restore shard-000003             undoes that
    """


@shards.command("list", short_help="A line per shard.")
@as_json_option
def list_shards(as_json: bool) -> None:
    """A line per shard: captions or pairs, tables made, samples kept, room on the disk, and the file it came from.

    \b
    imgdiff shards list
    imgdiff shards list --json
    """
    from imgdiff_assets.ingest.shards import removed_keys, shard_keys
    from imgdiff_assets.statistics.shard_facts import list_text, shard_facts

    home = Home.from_environment()
    found, removed = [shard_facts(home, key) for key in shard_keys(home)], removed_keys(home)
    if as_json:
        echo_json({"shards": [shard.to_json() for shard in found], "removed": removed})
    else:
        click.echo(list_text(found, removed))


@shards.command(short_help="All that is known of one.")
@click.argument("key")
@as_json_option
def show(key: str, as_json: bool) -> None:
    """What one shard holds, where it came from, and what was made of it, when and by which run.

    \b
    imgdiff shards show shard-000000
    imgdiff shards show shard-000000 --json
    """
    from imgdiff_assets.statistics.shard_facts import facts_text, shard_facts

    facts = shard_facts(Home.from_environment(), key)
    if as_json:
        echo_json(facts.to_json())
    else:
        click.echo(facts_text(facts))


@shards.command(short_help="Take shards out, into the trash.")
@keys_argument
@as_json_option
def remove(keys: Sequence[str], as_json: bool) -> None:
    """Take shards out, with all that was made of them. They lie in IMGDIFF_HOME/trash until `restore` undoes it.

    Refused while a run holds one of them. Releases and exports keep what they have; the next ones are without them.
    To be rid of them for good, delete their folders in the trash.

    \b
    imgdiff shards remove shard-000003
    imgdiff shards remove shard-000003 shard-000004
    """
    home = Home.from_environment()
    begin(f"Taking {', '.join(keys)} out of {home.root}", as_json)
    from imgdiff_assets.defs.unheld_shards import remove_shards

    remove_shards(home, keys)
    if as_json:
        echo_json({"removed": list(keys), "trash": str(home.trash)})
    else:
        click.echo(f"{', '.join(keys)}: in {home.trash}")
        click.echo(f"Undo: {this_command()} shards restore {' '.join(keys)}")


@shards.command(short_help="Put removed shards back.")
@keys_argument
@as_json_option
def restore(keys: Sequence[str], as_json: bool) -> None:
    """Put removed shards back as they were, with all that was made of them: nothing is measured anew.

    Refused where their captions came in again since.

    \b
    imgdiff shards restore shard-000003
    """
    home = Home.from_environment()
    begin(f"Putting {', '.join(keys)} back into {home.root}", as_json)
    from imgdiff_assets.defs.unheld_shards import restore_shards

    restore_shards(home, keys)
    if as_json:
        echo_json({"restored": list(keys)})
    else:
        click.echo(f"{', '.join(keys)}: back in {home.root}")
