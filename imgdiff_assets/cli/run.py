"""`imgdiff run`."""

import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import click

from imgdiff_assets.cli.measured_again import asking
from imgdiff_assets.cli.options import SeveralValues, as_json_option, overrides_option, recipe_option, shards_option
from imgdiff_assets.cli.terminal import ProgressBars, echo_json
from imgdiff_assets.home import Home

if TYPE_CHECKING:
    from imgdiff_assets.cli.run_graph import RunReport
    from imgdiff_assets.engine.plan import TablePlan
    from imgdiff_assets.recipe.recipe import Recipe


@click.command(cls=SeveralValues, short_help="Bring the tables up to date.")
@shards_option
@click.option("--select", multiple=True, metavar="ASSET...", help="Only these stages.  [default: all]")
@click.option("--retry-failed", is_flag=True, help="Try all rows once more that could not be measured.")
@click.option("--yes", is_flag=True, help="Measure again what an earlier release measured otherwise, unasked.")
@click.option("--keep-measured", is_flag=True, help="Leave such rows as they are, unasked; lineage tells which.")
@click.option("--new-recipe", is_flag=True, help="From now on, take the recipe as this release ships it.")
@click.option("--dry-run", is_flag=True, help="Only tell which tables would be made again, and why.")
@click.option("--strict", is_flag=True, help="Leave with status 1 when a check has failed, too.")
@overrides_option
@recipe_option
@as_json_option
def run(
    shards: Sequence[str],
    select: Sequence[str],
    retry_failed: bool,
    yes: bool,
    keep_measured: bool,
    new_recipe: bool,
    dry_run: bool,
    strict: bool,
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
    imgdiff run --retry-failed                              when what made rows fail was mended
    imgdiff run --strict                                    for a script: what is not sound is an error
    imgdiff run --keep-measured                             after an upgrade: rows stay as they were measured
    """
    from imgdiff_assets.ingest.shards import known_shards
    from imgdiff_assets.ledger.ledger import Ledger
    from imgdiff_assets.recipe.editions import note_edition
    from imgdiff_assets.recipe.recipe import changed_since, load_recipe, named
    from imgdiff_assets.stages.graph import stages_of
    from imgdiff_assets.statistics.funnel import funnel

    if yes and keep_measured:
        raise click.UsageError("--yes and --keep-measured say the opposite of each other.")
    home = Home.from_environment()
    keys = known_shards(home, shards)
    if dry_run:
        from imgdiff_assets.what_if.dry_run import plan, plan_text

        plans = plan(home, load_recipe(recipe, overrides, new_recipe), keys, select, keep=keep_measured, again=yes)
        if as_json:
            echo_json([made.to_json() for made in plans])
        else:
            click.echo(plan_text(plans))
        return
    values = load_recipe(recipe, overrides, new_recipe)
    if new_recipe:
        note_edition(home, named(recipe), anew=True)
    elif changed := changed_since(recipe):
        click.echo(changed, err=True)
    ask = None if keep_measured else asking(home)
    report = watched_run(home, values, keys, select or None, retry_failed, yes, ask)
    counts = funnel(Ledger(home.ledger), keys, stages_of(values))
    if as_json:
        echo_json({**report.to_json(), "funnel": counts.to_json()})
    else:
        click.echo(f"{report.to_text()}\n\n{counts.to_text()}")
    exit_if_failed(report, strict)


def watched_run(
    home: Home,
    recipe: "Recipe",
    shards: Sequence[str] | None = None,
    select: Sequence[str] | None = None,
    retry: bool = False,
    again: bool = False,
    ask: "Callable[[Sequence[TablePlan]], bool] | None" = None,
) -> "RunReport":
    """Run the graph with its progress shown on stderr."""
    from imgdiff_assets.cli.run_graph import run_graph

    with ProgressBars() as progress:
        tell = partial(click.echo, err=True)
        return run_graph(home, recipe, shards, select, progress, tell, retry, again, ask)


def exit_if_failed(report: "RunReport", strict: bool = False) -> None:
    """Tell what failed, and leave with status 1 if a shard did; `strict`: or a check."""
    for sentence in report.failed_checks:
        click.echo(f"{'Error' if strict else 'Warning'}: {sentence}", err=True)
    for sentence in report.failures:
        click.echo(f"Error: {sentence}", err=True)
    if not report.succeeded or (strict and report.failed_checks):
        sys.exit(1)
