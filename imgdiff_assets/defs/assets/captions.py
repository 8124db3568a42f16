import dagster as dg

from imgdiff_assets.defs.asset_stage import asset_arguments, run_asset
from imgdiff_assets.defs.home_resource import HomeResource
from imgdiff_assets.defs.recipe_resource import RecipeResource
from imgdiff_assets.stages.captions import STAGE
from resources.dagster_resources import CaptionerResource, ImageTextEncoderResource, ImageTextMatcherResource


@dg.asset(**asset_arguments(STAGE))
def captions(
    context: dg.AssetExecutionContext,
    home: HomeResource,
    recipe: RecipeResource,
    captioner: CaptionerResource,
    image_text_encoder: ImageTextEncoderResource,
    image_text_matcher: ImageTextMatcherResource,
) -> None:
    run_asset(
        context,
        STAGE,
        home,
        recipe,
        {"captioner": captioner, "image_text_encoder": image_text_encoder, "image_text_matcher": image_text_matcher},
    )
