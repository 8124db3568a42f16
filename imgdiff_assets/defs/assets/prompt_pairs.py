import dagster as dg

from imgdiff_assets.defs.asset_stage import asset_arguments, run_asset
from imgdiff_assets.defs.home_resource import HomeResource
from imgdiff_assets.defs.recipe_resource import RecipeResource
from imgdiff_assets.stages.prompt_pairs import STAGE
from resources.dagster_resources import PromptRewriterResource


@dg.asset(**asset_arguments(STAGE))
def prompt_pairs(
    context: dg.AssetExecutionContext,
    home: HomeResource,
    recipe: RecipeResource,
    prompt_rewriter: PromptRewriterResource,
) -> None:
    run_asset(context, STAGE, home, recipe, {"prompt_rewriter": prompt_rewriter})
