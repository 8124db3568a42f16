"""Asset checks. A failing blocking check stops a run before the next stage reads the table; the others warn."""

import dagster as dg

from imgdiff_assets.canaries import mistakes
from imgdiff_assets.graph import STAGES
from imgdiff_assets.home_resource import HomeResource
from imgdiff_assets.invariants import counted_by_invariant, violations
from imgdiff_assets.ledger import Ledger
from imgdiff_assets.materialization import kept_share_warnings
from imgdiff_assets.recipe_resource import RecipeResource
from imgdiff_assets.stage import Stage

LISTED = 50


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


def kept_share_check(stage: Stage) -> dg.AssetChecksDefinition:
    """Whether each shard keeps as much as the recipe expects; if not, which filter rejects most."""

    @dg.asset_check(
        asset=stage.name,
        name="kept_share",
        description="Each shard keeps a share of its rows within the recipe's `kept_share`.",
    )
    def kept_share(
        context: dg.AssetCheckExecutionContext, home: HomeResource, recipe: RecipeResource
    ) -> dg.AssetCheckResult:
        ledger = Ledger(home.home.ledger)
        op = context.op_execution_context
        keys = (
            list(op.partition_keys)
            if op.has_partition_key_range or op.has_partition_key
            else ledger.shards(stage.name)
        )
        bounds = recipe.recipe({}).kept_share.get(stage.name, (0.0, 1.0))
        records = [record for key in keys if (record := ledger.record(stage.name, key)) is not None]
        warnings = kept_share_warnings(records, bounds)
        return dg.AssetCheckResult(
            passed=not warnings,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"bounds": dg.MetadataValue.json(list(bounds)), "warnings": dg.MetadataValue.json(warnings)},
            description="\n".join(warnings) or "within the recipe's bounds",
        )

    return kept_share


@dg.asset_check(
    asset="fine_tune_set",
    name="invariants",
    blocking=True,
    description="Answers fit the order of the images, one image twice never differs, boxes are inside, and no "
    "caption, image or near-duplicate is on both sides of the split.",
)
def invariants(context: dg.AssetCheckExecutionContext, home: HomeResource) -> dg.AssetCheckResult:
    ledger = Ledger(home.home.ledger)
    op = context.op_execution_context
    keys = (
        list(op.partition_keys)
        if op.has_partition_key_range or op.has_partition_key
        else ledger.shards("fine_tune_set")
    )
    found = [{"shard": key, **finding} for key in keys for finding in violations(ledger, key)]
    return dg.AssetCheckResult(
        passed=not found,
        metadata={"violations": dg.MetadataValue.json(found[:LISTED])},
        description=f"{len(found)} samples violate {counted_by_invariant(found)}" if found else "all hold",
    )


CHECKS = [
    invariants,
    *(canary_check(stage) for stage in STAGES if stage.filters),
    *(kept_share_check(stage) for stage in STAGES if stage.filters),
]
