"""`imgdiff run`."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import click

from imgdiff_assets.cli.measured_again import asking
from imgdiff_assets.cli.options import (
    SeveralValues,
    as_json_option,
    overrides_option,
    recipe_option,
    recipe_words,
    shards_option,
)
from imgdiff_assets.cli.terminal import ProgressBars, begin, echo_json, echo_next, warn_in_a_frame
from imgdiff_assets.home import Home

if TYPE_CHECKING:
    from imgdiff_assets.cli.run_report import RunReport
    from imgdiff_assets.engine.plan import TablePlan
    from imgdiff_assets.recipe.recipe import Recipe
    from imgdiff_assets.statistics.funnel import Funnel


@click.command(cls=SeveralValues, short_help="Bring the tables up to date.")
@shards_option
@click.option("--select", multiple=True, metavar="ASSET...", help="Only these stages.  [default: all]")
@click.option("--retry-failed", is_flag=True, help="Try all rows once more that could not be measured.")
@click.option("--yes", is_flag=True, help="Measure again what an earlier release measured otherwise, unasked.")
@click.option("--keep-measured", is_flag=True, help="Leave such rows as they are, unasked; lineage tells which.")
@click.option("--new-recipe", is_flag=True, help="From now on, take the recipe as this release ships it.")
@click.option("--workers", type=click.IntRange(1), metavar="N", help="Measure with N processes, a card each.")
@click.option("--dry-run", is_flag=True, help="Only tell which tables would be made again, and why.")
@click.option("--strict", is_flag=True, help="Leave with status 1 when a check failed, or no sample came out, too.")
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
    workers: int | None,
    dry_run: bool,
    strict: bool,
    overrides: Sequence[str],
    recipe: str | None,
    as_json: bool,
) -> None:
    """Bring the tables up to date: all stages, over all shards, unless told otherwise.

    What is there already, and was measured with the same settings, is not measured again. A run that was stopped goes
    on where it was; a changed threshold only judges anew. The run is in Dagster's web UI too (`imgdiff ui`). Where a
    batch service is asked, it ends with what is pending, and another run collects that.

    \b
    imgdiff run
    imgdiff run --shards shard-000000 shard-000003 --select filtered_pairs bounding_boxes
    imgdiff run --set filtered_pairs.min_similarity=0.85
    imgdiff run --set captioner.max_new_tokens=128 --dry-run
    imgdiff run --retry-failed                              when what made rows fail was mended
    imgdiff run --workers 4                                 on four cards, or by four processes on the CPU
    imgdiff run --strict                                    for a script: what is not sound is an error
    imgdiff run --keep-measured                             after an upgrade: rows stay as they were measured
    """
    home = Home.from_environment()
    begin(f"Looking at what is to be done in {home.root}", as_json)
    from imgdiff_assets.ingest.shards import known_shards
    from imgdiff_assets.ledger.ledger import Ledger
    from imgdiff_assets.recipe.chosen_recipe import changed_since, load_recipe
    from imgdiff_assets.recipe.editions import note_edition
    from imgdiff_assets.stages.graph import stages_of
    from imgdiff_assets.statistics.funnel import funnel

    if yes and keep_measured:
        raise click.UsageError("--yes and --keep-measured say the opposite of each other.")
    keys, values = known_shards(home, shards), load_recipe(recipe, overrides, new_recipe)
    values = values.model_copy(update={"workers": values.workers.with_count(workers)})
    with all_missing_models_told(home, values, keys, select, recipe_words(recipe, overrides)):
        if dry_run:
            from imgdiff_assets.what_if.dry_run import plan, plan_text

            plans = plan(home, values, keys, select, keep=keep_measured, again=yes)
            if as_json:
                echo_json([made.to_json() for made in plans])
            else:
                click.echo(plan_text(plans))
            return
        if new_recipe:
            note_edition(home, values.name, anew=True)
        elif changed := changed_since(recipe):
            click.echo(changed, err=True)
        ask = None if keep_measured else asking(home)
        report = watched_run(home, values, keys, select or None, retry_failed, yes, ask, told=overrides)
    counts = funnel(Ledger(home.ledger), keys, stages_of(values))
    if as_json:
        echo_json({**report.to_json(), "funnel": counts.to_json()})
    else:
        click.echo(f"{report.to_text()}\n\n{counts.to_text()}")
    nothing = not report.pending and tell_what_to_do(home, values, keys, counts, as_json)
    if overrides and report.run_ids:
        tell_how_to_keep(home, recipe, overrides)
    exit_if_failed(report, strict, nothing)


def tell_what_to_do(home: Home, recipe: "Recipe", shards: Sequence[str], counts: "Funnel", as_json: bool) -> bool:
    """Tell what the models cannot draw, that nothing came out, or what is next; returns whether nothing came out."""
    from imgdiff_assets.statistics.advice import no_samples, not_drawable

    strange, nothing = not_drawable(home, recipe, shards), no_samples(counts)
    if nothing:
        warn_in_a_frame([*nothing, strange or "`imgdiff browse` shows them, `imgdiff what-if` tries other values."])
        return True
    if strange:
        click.echo(f"Warning: {strange}", err=True)
    if counts.samples and not as_json:
        echo_next(
            ("browse", "look at every sample and every rejected candidate"),
            ("export --format llava --out exports/llava", "what a trainer reads"),
        )
    return False


def tell_how_to_keep(home: Home, name: str | None, overrides: Sequence[str]) -> None:
    """Tell that values of --set hold for one run, and where they would stay: others ask the recipe alone."""
    from imgdiff_assets.recipe.chosen_recipe import chosen_recipe

    chosen, keep = chosen_recipe(name), f"`imgdiff recipe copy{recipe_words(name, overrides)}`"
    if not chosen.is_shipped or home.recipe.exists():
        keep = f"write them into {home.recipe if chosen.is_shipped else chosen.path}"
    click.echo(
        f"What --set said holds for this run alone, and the next one or a schedule takes it back. To keep it: {keep}",
        err=True,
    )


@contextmanager
def all_missing_models_told(
    home: Home, recipe: "Recipe", shards: Sequence[str], select: Sequence[str], options: str
) -> Iterator[None]:
    """Of models that cannot be run, tell all, where what stops at the first tells of that one.

    `options` are those that name the recipe to another command.
    """
    from resources.loading.failures import ModelUnavailable, WeightsMissing

    try:
        yield
    except (WeightsMissing, ModelUnavailable) as error:
        from imgdiff_assets.engine.needed_roles import needed_roles
        from imgdiff_assets.setup.missing_models import missing_text

        if text := missing_text(recipe, needed_roles(home, recipe, shards, select), options):
            raise click.ClickException(text) from error
        raise


def watched_run(
    home: Home,
    recipe: "Recipe",
    shards: Sequence[str] | None = None,
    select: Sequence[str] | None = None,
    retry: bool = False,
    again: bool = False,
    ask: "Callable[[Sequence[TablePlan]], bool] | None" = None,
    told: Sequence[str] = (),
) -> "RunReport":
    """Run the graph with its progress shown on stderr."""
    from imgdiff_assets.cli.run_graph import run_graph

    with ProgressBars() as progress:
        tell = partial(click.echo, err=True)
        return run_graph(home, recipe, shards, select, progress, tell, retry, again, ask, told=told)


def exit_if_failed(report: "RunReport", strict: bool = False, nothing: bool = False) -> None:
    """Tell what failed, and leave with status 1 if a shard did; `strict`: or a check, or `nothing` came out."""
    for sentence in report.failed_checks:
        click.echo(f"{'Error' if strict else 'Warning'}: {sentence}", err=True)
    for sentence in report.failures:
        click.echo(f"Error: {sentence}", err=True)
    if not report.succeeded or (strict and (report.failed_checks or nothing)):
        sys.exit(1)
