import dagster as dg

from imgdiff_assets.common.progress import logging_progress
from imgdiff_assets.defs.asset_stage import OWNER
from imgdiff_assets.defs.home_resource import HomeResource
from imgdiff_assets.defs.recipe_resource import RecipeResource


@dg.asset(
    deps=[dg.AssetDep("fine_tune_set", partition_mapping=dg.AllPartitionMapping())],
    group_name="image_difference",
    kinds={"parquet"},
    owners=[OWNER],
    description="All shards that are up to date, as one folder with dataset card, checksums, Croissant metadata and "
    "the changes since the release before. Nothing is made when nothing has changed.",
)
def release(context: dg.AssetExecutionContext, home: HomeResource, recipe: RecipeResource) -> None:
    from imgdiff_assets.defs.release_metadata import metadata_of
    from imgdiff_assets.release.making import make_release

    say = context.log.info
    made = make_release(home.home, recipe.recipe({}), progress=logging_progress(say), log=say)
    context.add_asset_metadata(metadata_of(made))
