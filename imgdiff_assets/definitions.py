"""The whole graph on one screen: recipe -> Definitions. What `dagster dev` and `imgdiff run` load."""

from imgdiff_assets.common.own_resources import require_own_resources

require_own_resources()  # before what follows imports them

import os

import dagster as dg

from imgdiff_assets.defs.assets.release import release
from imgdiff_assets.defs.assets.stages import stage_asset
from imgdiff_assets.defs.automation import (
    AS_SOON_AS_STALE,
    NIGHTLY,
    VERIFYING,
    automation_condition,
    inbox,
    lost_runs,
    stale_shards,
    verify_ledger,
)
from imgdiff_assets.defs.checks import stage_checks
from imgdiff_assets.defs.home_resource import SAMPLES_ROOT, HomeResource
from imgdiff_assets.defs.recipe_resource import recipe_resource
from imgdiff_assets.defs.role_resources import role_resources
from imgdiff_assets.defs.watch import watch
from imgdiff_assets.home import Home
from imgdiff_assets.recipe.recipe import Recipe, load_recipe
from imgdiff_assets.stages.graph import stages_of


def build_definitions(home: Home, recipe: Recipe) -> dg.Definitions:
    """The graph over one home, with the values of one recipe as the launchpad's defaults."""
    checks = [stage_checks(stage) for stage in stages_of(recipe)]
    check_keys = [key for check in checks for key in check.check_keys]
    return dg.Definitions(
        assets=[
            *dg.map_asset_specs(
                lambda spec: spec.replace_attributes(
                    automation_condition=automation_condition(home, spec.key.to_user_string())
                ),
                [stage_asset(stage) for stage in stages_of(recipe)],
            ),
            release,
        ],
        asset_checks=checks,
        schedules=[
            stale_shards(home, recipe.automation),
            verify_ledger([stage.name for stage in stages_of(recipe)], recipe.automation),
        ],
        sensors=[
            inbox(home, recipe.automation),
            lost_runs(home),
            watch(home, {"stale_shards": recipe.automation.cron or NIGHTLY, "verify_ledger": VERIFYING}, check_keys),
            AS_SOON_AS_STALE,
        ],
        resources={
            "home": HomeResource(
                root=str(home.root), browser_url=os.environ.get("IMGDIFF_BROWSER_URL") or SAMPLES_ROOT
            ),
            "recipe": recipe_resource(recipe),
            **role_resources(recipe.models),
        },
        # One process for all stages of a run: a process per step would load every model again.
        executor=dg.in_process_executor,
    )


defs = build_definitions(Home.from_environment(), load_recipe())
