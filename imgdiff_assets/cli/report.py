"""`imgdiff report`."""

from collections.abc import Sequence
from pathlib import Path

import click

from imgdiff_assets.cli.options import NewPath, SeveralValues, as_json_option, recipe_option, shards_option
from imgdiff_assets.cli.terminal import begin, echo_json
from imgdiff_assets.common.plain_text import counted
from imgdiff_assets.home import Home


@click.command(cls=SeveralValues, short_help="Write funnel, histograms and contact sheets as one HTML file.")
@click.option("--out", type=NewPath(), help="The file.  [default: report.html in IMGDIFF_HOME]")
@click.option("--rows", type=click.IntRange(1, 100), default=6, show_default=True, help="Rows shown of each reason.")
@shards_option
@recipe_option
@as_json_option
def report(out: Path | None, rows: int, shards: Sequence[str], recipe: str | None, as_json: bool) -> None:
    """Write one HTML file that can be mailed: the funnel, score histograms with thresholds, rows of every reason.

    Pictures, styles and charts are inside; it needs no server and loads nothing. The recipe gives the thresholds.

    \b
    imgdiff report
    imgdiff report --out monday.html --rows 12 --shards shard-000000 shard-000001
    """
    home = Home.from_environment()
    begin(f"Reading {home.root}", as_json)
    from imgdiff_assets.browser.report import write_report
    from imgdiff_assets.ingest.shards import known_shards
    from imgdiff_assets.recipe.chosen_recipe import load_recipe

    keys = known_shards(home, shards) if shards else None
    path = (out or home.report).expanduser().absolute()
    counts = write_report(home, load_recipe(recipe), path, keys, rows)
    if as_json:
        echo_json({"report": str(path), "bytes": path.stat().st_size, "funnel": counts.to_json()})
    else:
        click.echo(f"{path}: {counted(counts.captions, 'caption')}, {counted(counts.samples, 'sample')}")
