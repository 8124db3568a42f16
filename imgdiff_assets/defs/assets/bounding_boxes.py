import dagster as dg

from imgdiff_assets.defs.asset_stage import asset_arguments, run_asset
from imgdiff_assets.defs.home_resource import HomeResource
from imgdiff_assets.defs.recipe_resource import RecipeResource
from imgdiff_assets.stages.bounding_boxes import STAGE
from resources.dagster_resources import ImageTextEncoderResource, ImageTextMatcherResource, SegmenterResource


@dg.asset(**asset_arguments(STAGE))
def bounding_boxes(
    context: dg.AssetExecutionContext,
    home: HomeResource,
    recipe: RecipeResource,
    segmenter: SegmenterResource,
    image_text_encoder: ImageTextEncoderResource,
    image_text_matcher: ImageTextMatcherResource,
) -> None:
    run_asset(
        context,
        STAGE,
        home,
        recipe,
        {"segmenter": segmenter, "image_text_encoder": image_text_encoder, "image_text_matcher": image_text_matcher},
    )
