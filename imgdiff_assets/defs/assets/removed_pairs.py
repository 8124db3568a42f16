import dagster as dg

from imgdiff_assets.defs.asset_stage import asset_arguments, run_asset
from imgdiff_assets.defs.home_resource import HomeResource
from imgdiff_assets.defs.recipe_resource import RecipeResource
from imgdiff_assets.stages.removed_pairs import STAGE
from resources.dagster_resources import ImageTextEncoderResource, InpainterResource


@dg.asset(**asset_arguments(STAGE))
def removed_pairs(
    context: dg.AssetExecutionContext,
    home: HomeResource,
    recipe: RecipeResource,
    inpainter: InpainterResource,
    image_text_encoder: ImageTextEncoderResource,
) -> None:
    run_asset(context, STAGE, home, recipe, {"inpainter": inpainter, "image_text_encoder": image_text_encoder})
