"""The `imgdiff` command. Modules are imported where a command needs them, so that help and statistics come at once."""

import atexit
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imgdiff_assets.cli.browse import browse
from imgdiff_assets.cli.certificate import certificate
from imgdiff_assets.cli.doctor import doctor
from imgdiff_assets.cli.export import export
from imgdiff_assets.cli.ingest_pairs import ingest_pairs
from imgdiff_assets.cli.models import models
from imgdiff_assets.cli.release import release
from imgdiff_assets.cli.replay import replay
from imgdiff_assets.cli.report import report as report_command
from imgdiff_assets.cli.summaries import ingest_json, ingest_text, run_json, run_text
from imgdiff_assets.cli.terminal import (
    Commands,
    ProgressBars,
    SeveralValues,
    as_json_option,
    echo_json,
    overrides_option,
    recipe_option,
    shards_option,
    this_command,
)
from imgdiff_assets.cli.ui import ui
from imgdiff_assets.cli.what_if import what_if
from imgdiff_assets.common.own_resources import ForeignResources, require_own_resources
from imgdiff_assets.common.plain_text import counted, listed
from imgdiff_assets.home import Home

if TYPE_CHECKING:
    from imgdiff_assets.cli.run import RunReport
    from imgdiff_assets.ledger.ledger import Ledger
    from imgdiff_assets.recipe.recipe import Recipe

DEMO_CAPTIONS = Path(__file__).parents[1] / "data" / "captions.txt"
CONTACT_SHEET = "contact_sheet.png"
LISTED_REJECTIONS = 20


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Captions in, an image-difference fine-tune set out.

    \b
    imgdiff demo                              see it work, in a few minutes
    imgdiff ingest captions.txt               your own captions
    imgdiff run                               all stages, over all captions
    imgdiff stats                             what was kept, and why the rest was not
    imgdiff export --format llava --out DIR   what a trainer reads

    IMGDIFF_HOME is the folder of all that is made (default: ./imgdiff_home). IMGDIFF_RECIPE is the recipe: models
    and thresholds (default: miniature, whose models come with the package). Everything is kept, and a run does only
    what is missing, so any command may be stopped and given again.
    """
    try:
        require_own_resources()
    except ForeignResources as error:
        raise click.ClickException(str(error)) from None


@main.command(short_help="Add captions from files.")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@click.option("--column", help="The field that holds the captions, in all but .txt files.  [default: caption]")
@click.option("--shard-size", type=int, default=1000, show_default=True, help="Most captions in a shard.")
@click.option(
    "--fill-gaps", is_flag=True, help="Note the replacements made so far, for prompt_pairs.keep_attempts to go by."
)
@as_json_option
def ingest(files: Sequence[Path], column: str | None, shard_size: int, fill_gaps: bool, as_json: bool) -> None:
    """Add captions: .txt (one a line), .jsonl, .csv or .parquet.

    They become shards, the pieces that are run and scheduled. A caption that is there already is dropped and counted;
    a line that cannot be used is reported with its reason, and the others are taken.

    \b
    imgdiff ingest coco.txt
    imgdiff ingest annotations.csv --column text --shard-size 200
    imgdiff ingest more.txt --fill-gaps                      then
    imgdiff run --set prompt_pairs.attempts=4 prompt_pairs.keep_attempts=1
    """
    from imgdiff_assets.ingest.shards import ingest as ingest_files

    home = Home.from_environment()
    filled = None
    if fill_gaps:
        from imgdiff_assets.statistics.diversity import filled_so_far

        filled = filled_so_far(home)
    report = ingest_files(files, home, column, shard_size, filled)
    for sentence in report.files_failed:
        click.echo(f"Error: {sentence}", err=True)
    if as_json:
        echo_json(ingest_json(report))
    else:
        click.echo(ingest_text(report))
        for line in listed(report.rejected, LISTED_REJECTIONS):
            click.echo(f"  rejected {line}")
        if report.accepted:
            click.echo(f"Next: {this_command()} run")
    if not report.accepted and not report.duplicates:
        sys.exit(1)


@main.command(cls=SeveralValues, short_help="Bring the tables up to date.")
@shards_option
@click.option("--select", multiple=True, metavar="ASSET...", help="Only these stages.  [default: all]")
@click.option("--dry-run", is_flag=True, help="Only tell which tables would be made again, and why.")
@overrides_option
@recipe_option
@as_json_option
def run(
    shards: Sequence[str],
    select: Sequence[str],
    dry_run: bool,
    overrides: Sequence[str],
    recipe: str | None,
    as_json: bool,
) -> None:
    """Bring the tables up to date: all stages, over all shards, unless told otherwise.

    What is there already, and was measured with the same settings, is not measured again. A run that was stopped goes
    on where it was; a changed threshold only judges anew. The run is in Dagster's web UI too (`imgdiff ui`).

    \b
    imgdiff run
    imgdiff run --shards shard-000000 shard-000003 --select filtered_pairs bounding_boxes
    imgdiff run --set filtered_pairs.min_similarity=0.85
    imgdiff run --set captioner.max_new_tokens=128 --dry-run
    """
    from imgdiff_assets.ingest.shards import known_shards
    from imgdiff_assets.ledger.ledger import Ledger
    from imgdiff_assets.recipe.recipe import load_recipe
    from imgdiff_assets.stages.graph import stages_of
    from imgdiff_assets.statistics.funnel import funnel

    home = Home.from_environment()
    keys = known_shards(home, shards)
    if dry_run:
        from imgdiff_assets.what_if.dry_run import plan, plan_text

        plans = plan(home, load_recipe(recipe, overrides), keys, select)
        if as_json:
            echo_json([made.to_json() for made in plans])
        else:
            click.echo(plan_text(plans))
        return
    values = load_recipe(recipe, overrides)
    report = _run(home, values, keys, select or None)
    counts = funnel(Ledger(home.ledger), keys, stages_of(values))
    if as_json:
        echo_json({**run_json(report), "funnel": counts.to_json()})
    else:
        click.echo(run_text(report))
        click.echo(f"\n{counts.to_text()}")
    _exit_if_failed(report)


@main.command(cls=SeveralValues, short_help="Count what was kept, and what was rejected by which filter.")
@click.option("--diversity", is_flag=True, help="Count the objects and replacements instead.")
@shards_option
@as_json_option
def stats(diversity: bool, shards: Sequence[str], as_json: bool) -> None:
    """The funnel: rows in, rows kept, and which filter rejected how many.

    With --diversity, how varied the replacements are: object categories, (replaced, replacing) pairs, and how evenly
    they are used (entropy, and its share of the largest possible); for all prompt pairs, and for those with samples.

    \b
    imgdiff stats
    imgdiff stats --shards shard-000000 --json
    imgdiff stats --diversity
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
    counts = funnel(Ledger(home.ledger), keys)
    if as_json:
        echo_json(counts.to_json())
    else:
        click.echo(counts.to_text())


main.add_command(browse)
main.add_command(certificate)
main.add_command(report_command)
main.add_command(ingest_pairs)
main.add_command(what_if)
main.add_command(export)
main.add_command(release)
main.add_command(replay)
main.add_command(ui)
main.add_command(models)
main.add_command(doctor)


@main.command(short_help="Tell where a row came from and what became of it.")
@click.argument("identity", metavar="ID")
@recipe_option
@as_json_option
def lineage(identity: str, recipe: str | None, as_json: bool) -> None:
    """Where a row came from and what became of it: ID is any id of any table, or its first six digits.

    The tree leads from the caption down through the row (marked ◀) to all that was made of it: scores beside the
    thresholds of the recipe, why a row was rejected, seed, models, run, recipe and code version.

    \b
    imgdiff lineage 3ea21c9dc2f218e3
    imgdiff lineage 3ea21c --json
    """
    from imgdiff_assets.lineage.lineage import lineage as find_lineage
    from imgdiff_assets.lineage.lineage_text import to_text
    from imgdiff_assets.recipe.recipe import load_recipe

    tree = find_lineage(Home.from_environment(), load_recipe(recipe), identity)
    if as_json:
        echo_json(tree.to_json())
    else:
        click.echo(to_text(tree))


@main.group(short_help="The DuckDB file that tracks every materialisation.")
def catalog() -> None:
    """The DuckDB file that tracks every materialisation: `catalog.duckdb` in IMGDIFF_HOME.

    It holds the tables `materializations` and `filter_statistics`, and a view of every table of the ledger.
    """


@catalog.command()
@as_json_option
def rebuild(as_json: bool) -> None:
    """Make the catalog anew from the ledger, of which it is only an index.

    \b
    imgdiff catalog rebuild
    """
    from imgdiff_assets.defs.catalog_index import rebuild as rebuild_catalog

    home = Home.from_environment()
    known = rebuild_catalog(home)
    if as_json:
        echo_json({"catalog": str(home.catalog), "materializations": known})
    else:
        click.echo(f"{home.catalog}: {counted(known, 'materialisation')}")


@main.command(short_help="Run the whole graph over captions that come with the package.")
@as_json_option
def demo(as_json: bool) -> None:
    """Run the whole graph over the captions that come with the package, and show what came out.

    Needs no download and no GPU. Given again, it finds everything made.

    \b
    imgdiff demo
    IMGDIFF_HOME=/tmp/try imgdiff demo
    """
    from imgdiff_assets.ingest.shards import ingest as ingest_files
    from imgdiff_assets.ledger.ledger import Ledger
    from imgdiff_assets.pictures.contact_sheet import write_contact_sheet
    from imgdiff_assets.recipe.recipe import load_recipe
    from imgdiff_assets.statistics.funnel import funnel

    home = Home.from_environment()
    recipe = load_recipe()
    ingested = ingest_files([DEMO_CAPTIONS], home)
    click.echo(ingest_text(ingested), err=True)
    report = _run(home, recipe)
    ledger = Ledger(home.ledger)
    counts = funnel(ledger)
    sheet = home.root / CONTACT_SHEET
    write_contact_sheet(ledger, sheet)
    sample = _a_sample(ledger)
    if as_json:
        summary = {"funnel": counts.to_json(), "contact_sheet": str(sheet), "sample_id": sample}
        echo_json({"ingest": ingest_json(ingested), **run_json(report), **summary})
    else:
        click.echo(f"{run_text(report)}\n\n{counts.to_text()}\n\nLook at {sheet}\n\nThen try")
        command = this_command()
        for words, purpose in (
            (f"lineage {sample}" if sample else "stats", "where a sample came from" if sample else "the funnel again"),
            ("run --set filtered_pairs.min_similarity=0.95", "judge by another threshold: nothing is measured twice"),
            ("export --format llava --out exports/llava", "what a trainer reads"),
            ("ui", "the same graph and runs in the browser (or `make ui`)"),
        ):
            click.echo(f"  {f'{command} {words}':<62} {purpose}")
    _exit_if_failed(report)


def _run(
    home: Home, recipe: "Recipe", shards: Sequence[str] | None = None, select: Sequence[str] | None = None
) -> "RunReport":
    from imgdiff_assets.cli.run import run as run_graph

    with ProgressBars() as progress:
        try:
            return run_graph(home, recipe, shards, select, progress, lambda text: click.echo(text, err=True))
        except KeyboardInterrupt:
            raise click.ClickException(
                "Stopped. What was measured is kept: the same command goes on from here."
            ) from None


def _exit_if_failed(report: "RunReport") -> None:
    for sentence in report.failures:
        click.echo(f"Error: {sentence}", err=True)
    if not report.succeeded:
        sys.exit(1)


def _a_sample(ledger: "Ledger") -> str | None:
    """The id of a kept sample, if there is one."""
    import pyarrow.compute as pc

    from imgdiff_assets.reading.scan import scan

    ids = scan(ledger, "fine_tune_set", ["sample_id"], pc.field("kept"))["sample_id"].to_pylist()
    return min(ids, default=None)


def command() -> None:
    """The console command: `main`, and then the process's end, after all that was registered for it.

    The interpreter's own end makes DuckDB 2.0 list what it did not free, over what the command said.
    """
    status = 1

    def end() -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)

    atexit.register(end)
    try:
        main()
    except SystemExit as left:
        status = left.code if isinstance(left.code, int) else int(left.code is not None)
        raise


if __name__ == "__main__":
    command()
