"""The whole graph on one screen: home, names and recipe -> Definitions."""

import os

import dagster as dg

from imgdiff_assets.defs.assets.release import release_asset
from imgdiff_assets.defs.assets.stages import stage_asset
from imgdiff_assets.defs.automation import (
    NIGHTLY,
    VERIFYING,
    as_soon_as_stale,
    automation_condition,
    bring_up_to_date,
    inbox,
    lost_runs,
    stale_shards,
    verify_ledger,
)
from imgdiff_assets.defs.checks import stage_checks
from imgdiff_assets.defs.home_resource import SAMPLES_ROOT, home_resource
from imgdiff_assets.defs.ledger_told import STALE, in_step
from imgdiff_assets.defs.placed_graph import PlacedGraph
from imgdiff_assets.defs.recipe_resource import recipe_resource
from imgdiff_assets.defs.role_resources import role_resources
from imgdiff_assets.defs.watch import watch
from imgdiff_assets.defs.what_if_job import what_if_job
from imgdiff_assets.defs.workers_resource import workers_resource
from imgdiff_assets.home import Home
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import stages_of


def build_definitions(home: Home, recipe: Recipe) -> dg.Definitions:
    """The graph over one home, with the values of one recipe; what it runs by itself reads the recipe anew."""
    graph = PlacedGraph(home, browser_url=os.environ.get("IMGDIFF_BROWSER_URL") or SAMPLES_ROOT)
    # One process for all stages of a run: a process per step would load every model again.
    return dg.Definitions.merge(graph_definitions(graph, recipe), dg.Definitions(executor=dg.in_process_executor))


def graph_definitions(graph: PlacedGraph, recipe: Recipe) -> dg.Definitions:
    """The graph with the values of one recipe, which a launchpad may override for a run."""
    names, stages = graph.names, stages_of(recipe)
    tables = [stage.name for stage in stages]
    resources = {
        "home": home_resource(graph.home, graph.browser_url),
        "recipe": recipe_resource(recipe),
        "workers": workers_resource(recipe.workers),
        **role_resources(recipe.models),
    }
    job = bring_up_to_date(graph, tables)
    checks = [stage_checks(stage, names) for stage in stages]
    # A shard is stale whenever something changed: that is what nights are for, and no fault.
    red = [key for each in checks for key in each.check_keys if key.name != STALE]
    crons = {"stale_shards": recipe.automation.cron or NIGHTLY, "verify_ledger": VERIFYING}
    return dg.Definitions(
        assets=[
            *dg.map_asset_specs(
                lambda spec: spec.replace_attributes(
                    automation_condition=automation_condition(graph, spec.key.path[-1])
                ),
                [stage_asset(stage, names) for stage in stages],
            ),
            release_asset(names),
        ],
        asset_checks=checks,
        jobs=[job, what_if_job(names, recipe.roles)],
        schedules=[stale_shards(graph, job, recipe.automation), verify_ledger(names, tables, recipe.automation)],
        sensors=[
            inbox(graph, job, recipe.automation),
            in_step(graph),
            lost_runs(graph),
            watch(graph, {names.of(schedule): cron for schedule, cron in crons.items()}, red),
            as_soon_as_stale(names, tables),
        ],
        resources={names.of(name): resource for name, resource in resources.items()},
    )
