"""`imgdiff demo`."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imgdiff_assets.cli.ingest_report import ingest_text
from imgdiff_assets.cli.options import as_json_option
from imgdiff_assets.cli.run import exit_if_failed, watched_run
from imgdiff_assets.cli.terminal import begin, echo_json, this_command
from imgdiff_assets.home import Home

if TYPE_CHECKING:
    from imgdiff_assets.ledger.ledger import Ledger

DEMO_CAPTIONS = Path(__file__).parents[1] / "data" / "captions.txt"
CONTACT_SHEET = "contact_sheet.png"


@click.command(short_help="Run the whole graph over captions that come with the package.")
@as_json_option
def demo(as_json: bool) -> None:
    """Run the whole graph over the captions that come with the package, and show what came out.

    Needs no download and no GPU. Given again, it finds everything made.

    \b
    imgdiff demo
    IMGDIFF_HOME=/tmp/try imgdiff demo
    """
    home = Home.from_environment()
    begin(f"Running the demo in {home.root}", as_json)
    from imgdiff_assets.ingest.ingest_captions import ingest as ingest_files
    from imgdiff_assets.ledger.ledger import Ledger
    from imgdiff_assets.pictures.contact_sheet import write_contact_sheet
    from imgdiff_assets.recipe.chosen_recipe import load_recipe
    from imgdiff_assets.statistics.funnel import funnel

    recipe = load_recipe()
    ingested = ingest_files([DEMO_CAPTIONS], home)
    click.echo(ingest_text(ingested), err=True)
    report = watched_run(home, recipe)
    ledger = Ledger(home.ledger)
    counts = funnel(ledger)
    sheet = home.local / CONTACT_SHEET
    write_contact_sheet(ledger, sheet)
    sample = _a_sample(ledger)
    if as_json:
        summary = {"funnel": counts.to_json(), "contact_sheet": str(sheet), "sample_id": sample}
        echo_json({"ingest": asdict(ingested), **report.to_json(), **summary})
    else:
        click.echo(f"{report.to_text()}\n\n{counts.to_text()}\n\nLook at {sheet}\n\nThen try")
        command = this_command()
        for words, purpose in (
            (f"lineage {sample}" if sample else "stats", "where a sample came from" if sample else "the funnel again"),
            ("run --set filtered_pairs.min_similarity=0.95", "judge by another threshold: nothing is measured twice"),
            ("export --format llava --out exports/llava", "what a trainer reads"),
            ("ui", "the same graph and runs in the browser (or `make ui`)"),
        ):
            click.echo(f"  {f'{command} {words}':<62} {purpose}")
    exit_if_failed(report)


def _a_sample(ledger: "Ledger") -> str | None:
    """The id of a kept sample, if there is one."""
    import pyarrow.compute as pc

    from imgdiff_assets.reading.scan import scan

    ids = scan(ledger, "fine_tune_set", ["sample_id"], pc.field("kept"))["sample_id"].to_pylist()
    return min(ids, default=None)
