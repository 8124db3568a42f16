import dagster as dg

from imgdiff_assets.common.progress import logging_progress
from imgdiff_assets.defs.asset_stage import OWNER
from imgdiff_assets.defs.names import Names
from imgdiff_assets.stages.graph import SAMPLES


def release_asset(names: Names) -> dg.AssetsDefinition:
    """The asset of all shards together."""
    home, recipe = names.of("home"), names.of("recipe")

    @dg.asset(
        key=names.key("release"),
        deps=[dg.AssetDep(names.key(SAMPLES), partition_mapping=dg.AllPartitionMapping())],
        group_name="image_difference",
        required_resource_keys={home, recipe},
        kinds={"parquet"},
        owners=[OWNER],
        description="All shards that are up to date, as one folder with dataset card, checksums, Croissant metadata "
        "and the changes since the release before. Nothing is made when nothing has changed.",
    )
    def release(context: dg.AssetExecutionContext) -> None:
        from imgdiff_assets.defs.release_metadata import metadata_of
        from imgdiff_assets.release.making import make_release

        say = context.log.info
        values = getattr(context.resources, recipe).recipe({})
        made = make_release(getattr(context.resources, home).home, values, progress=logging_progress(say), log=say)
        context.add_asset_metadata(metadata_of(made))

    return release
