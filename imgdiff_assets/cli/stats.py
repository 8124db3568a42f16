"""`imgdiff stats`."""

from collections.abc import Sequence

import click

from imgdiff_assets.cli.options import SeveralValues, as_json_option, shards_option
from imgdiff_assets.cli.terminal import echo_json
from imgdiff_assets.home import Home


@click.command(cls=SeveralValues, short_help="Count what was kept, and what was rejected by which filter.")
@click.option("--diversity", is_flag=True, help="Count the objects and replacements instead.")
@click.option("--kinds", is_flag=True, help="Count what came of each kind of difference instead.")
@shards_option
@as_json_option
def stats(diversity: bool, kinds: bool, shards: Sequence[str], as_json: bool) -> None:
    """The funnel: rows in, rows kept, and which filter rejected how many.

    With --diversity, how varied the replacements are: object categories, (replaced, replacing) pairs, and how evenly
    they are used (entropy, and its share of the largest possible); for all prompt pairs, and for those with samples.

    With --kinds, how many rewrites were asked for of each kind of difference, and what they came to.

    \b
    imgdiff stats
    imgdiff stats --shards shard-000000 --json
    imgdiff stats --diversity
    imgdiff stats --kinds
    """
    from imgdiff_assets.ingest.shards import known_shards
    from imgdiff_assets.ledger.ledger import Ledger
    from imgdiff_assets.statistics.funnel import funnel

    home = Home.from_environment()
    keys = known_shards(home, shards)
    if diversity:
        from imgdiff_assets.statistics.diversity import diversity_text, written_and_kept

        written, kept = written_and_kept(Ledger(home.ledger), keys)
        if as_json:
            echo_json({"prompt_pairs": written.to_json(), "pairs_with_samples": kept.to_json()})
        else:
            click.echo(diversity_text(written, kept))
        return
    if kinds:
        from imgdiff_assets.statistics.by_kind import by_kind, by_kind_text

        found = by_kind(Ledger(home.ledger), keys)
        if as_json:
            echo_json(found)
        else:
            click.echo(by_kind_text(found))
        return
    counts = funnel(Ledger(home.ledger), keys)
    if as_json:
        echo_json(counts.to_json())
    else:
        click.echo(counts.to_text())
