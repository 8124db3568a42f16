import dagster as dg

from imgdiff_assets.defs.asset_stage import asset_arguments, run_asset
from imgdiff_assets.defs.home_resource import HomeResource
from imgdiff_assets.defs.recipe_resource import RecipeResource
from imgdiff_assets.stages.image_pairs import STAGE
from resources.dagster_resources import PairGeneratorResource


@dg.asset(**asset_arguments(STAGE))
def image_pairs(
    context: dg.AssetExecutionContext,
    home: HomeResource,
    recipe: RecipeResource,
    pair_generator: PairGeneratorResource,
) -> None:
    run_asset(context, STAGE, home, recipe, {"pair_generator": pair_generator})
