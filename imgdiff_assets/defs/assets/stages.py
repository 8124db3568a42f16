"""An asset for each stage of the graph: what the stage says of itself, and a body that hands it to the engine."""

import warnings
from collections.abc import Iterator

import dagster as dg

from imgdiff_assets.defs.asset_stage import COMMON_RESOURCES, asset_arguments, run_asset
from imgdiff_assets.defs.names import Names
from imgdiff_assets.stages.stage import Stage


def stage_asset(stage: Stage, names: Names) -> dg.AssetsDefinition:
    """The asset of a stage: it asks for what all ask for, and the resources of the roles it measures with."""

    def run(context: dg.AssetExecutionContext) -> Iterator[dg.Output[None]]:
        home, recipe, workers, *roles = (
            getattr(context.resources, names.of(name)) for name in (*COMMON_RESOURCES, *stage.possible_roles)
        )
        if run_asset(context, stage, home, recipe, workers, dict(zip(stage.possible_roles, roles, strict=True))):
            yield dg.Output(None)

    with warnings.catch_warnings():
        # That all shards of a request go into one run, which loads each model once, and links to code are in beta.
        warnings.simplefilter("ignore", dg.BetaWarning)
        asset: dg.AssetsDefinition = dg.asset(**asset_arguments(stage, names))(run)
    return asset
