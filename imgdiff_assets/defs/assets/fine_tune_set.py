import dagster as dg

from imgdiff_assets.defs.asset_stage import asset_arguments, run_asset
from imgdiff_assets.defs.home_resource import HomeResource
from imgdiff_assets.defs.recipe_resource import RecipeResource
from imgdiff_assets.stages.fine_tune_set import STAGE


@dg.asset(**asset_arguments(STAGE))
def fine_tune_set(
    context: dg.AssetExecutionContext,
    home: HomeResource,
    recipe: RecipeResource,
) -> None:
    run_asset(context, STAGE, home, recipe, {})
