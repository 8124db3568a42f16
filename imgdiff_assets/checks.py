"""Asset checks. A failing blocking check stops a run before the next stage reads the table."""

import dagster as dg

from imgdiff_assets.canaries import mistakes
from imgdiff_assets.graph import STAGES
from imgdiff_assets.recipe_resource import RecipeResource
from imgdiff_assets.stage import Stage


def canary_check(stage: Stage) -> dg.AssetChecksDefinition:
    """The filters of a stage against the rows planted for them, with the thresholds of the run."""

    @dg.asset_check(
        asset=stage.name,
        name="canaries",
        blocking=True,
        description="Every filter rejects the bad rows planted for it and keeps the good ones.",
    )
    def canaries(recipe: RecipeResource) -> dg.AssetCheckResult:
        found = mistakes(stage, stage.settings(recipe.recipe({})))
        return dg.AssetCheckResult(
            passed=not found,
            metadata={"filters": len(stage.filters), "mistakes": dg.MetadataValue.json(found)},
            description="\n".join(found) or f"{len(stage.filters)} filters work",
        )

    return canaries


CHECKS = [canary_check(stage) for stage in STAGES if stage.filters]
