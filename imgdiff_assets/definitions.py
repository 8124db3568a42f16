"""The whole graph on one screen: recipe -> Definitions. What `dagster dev` and `imgdiff run` load."""

import os

import dagster as dg

from imgdiff_assets.defs.assets.bounding_boxes import bounding_boxes
from imgdiff_assets.defs.assets.captions import captions
from imgdiff_assets.defs.assets.filtered_pairs import filtered_pairs
from imgdiff_assets.defs.assets.fine_tune_set import fine_tune_set
from imgdiff_assets.defs.assets.image_pairs import image_pairs
from imgdiff_assets.defs.assets.prompt_pairs import prompt_pairs
from imgdiff_assets.defs.assets.release import release
from imgdiff_assets.defs.assets.removal_captions import removal_captions
from imgdiff_assets.defs.assets.removed_pairs import removed_pairs
from imgdiff_assets.defs.automation import AS_SOON_AS_STALE, automation_condition, inbox, lost_runs, stale_shards
from imgdiff_assets.defs.checks import CHECKS
from imgdiff_assets.defs.home_resource import HomeResource
from imgdiff_assets.defs.recipe_resource import recipe_resource
from imgdiff_assets.home import Home
from imgdiff_assets.recipe.recipe import Recipe, load_recipe
from resources.dagster_resources import role_resources


def build_definitions(home: Home, recipe: Recipe) -> dg.Definitions:
    """The graph over one home, with the values of one recipe as the launchpad's defaults."""
    stages = [
        prompt_pairs,
        image_pairs,
        filtered_pairs,
        bounding_boxes,
        captions,
        removed_pairs,
        removal_captions,
        fine_tune_set,
    ]
    return dg.Definitions(
        assets=[
            *dg.map_asset_specs(
                lambda spec: spec.replace_attributes(
                    automation_condition=automation_condition(home, spec.key.to_user_string())
                ),
                stages,
            ),
            release,
        ],
        asset_checks=CHECKS,
        schedules=[stale_shards(home, recipe.automation)],
        sensors=[inbox(home, recipe.automation), lost_runs(home), AS_SOON_AS_STALE],
        resources={
            "home": HomeResource(root=str(home.root), browser_url=os.environ.get("IMGDIFF_BROWSER_URL", "")),
            "recipe": recipe_resource(recipe),
            **role_resources(recipe.models),
        },
        # One process for all stages of a run: a process per step would load every model again.
        executor=dg.in_process_executor,
    )


defs = build_definitions(Home.from_environment(), load_recipe())
