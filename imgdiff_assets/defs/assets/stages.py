"""An asset for each stage of the graph: what the stage says of itself, and a body that hands it to the engine."""

import warnings

import dagster as dg

from imgdiff_assets.defs.asset_stage import asset_arguments, run_asset
from imgdiff_assets.stages.stage import Stage


def stage_asset(stage: Stage) -> dg.AssetsDefinition:
    """The asset of a stage: it asks for the resources `home`, `recipe`, and those of the roles it measures with."""

    def run(context: dg.AssetExecutionContext) -> None:
        resources = context.resources
        roles = {role: getattr(resources, role) for role in stage.roles}
        run_asset(context, stage, resources.home, resources.recipe, roles)

    with warnings.catch_warnings():
        # That all shards of a request go into one run, which loads each model once, and links to code are in beta.
        warnings.simplefilter("ignore", dg.BetaWarning)
        asset: dg.AssetsDefinition = dg.asset(**asset_arguments(stage))(run)
    return asset
