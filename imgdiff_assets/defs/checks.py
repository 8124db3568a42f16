"""Asset checks. A failing blocking check stops a run before the next stage reads the table; the others warn.

All checks of a stage are one step: a step of its own for each would cost more than the checks do.
"""

import datetime
from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg

from imgdiff_assets.common.aliases import Row
from imgdiff_assets.common.errors import sentence
from imgdiff_assets.common.plain_text import counted
from imgdiff_assets.defs.asset_metadata import table_of
from imgdiff_assets.defs.ledger_told import FRESH, STALE, stale_check, tables_of
from imgdiff_assets.defs.names import Names
from imgdiff_assets.engine.record import kept_share_warnings
from imgdiff_assets.engine.verifying import Verifying
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.checked_file import DamagedTable
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.canaries import mistakes
from imgdiff_assets.stages.graph import SAMPLES
from imgdiff_assets.stages.stage import Stage
from imgdiff_assets.statistics.sample_checks import unreadable
from imgdiff_assets.statistics.sample_checks import violations as sample_violations
from imgdiff_assets.statistics.table_checks import INVARIANTS, Invariant

SHOWN_ROWS = 20
CANARIES = "Every filter rejects the bad rows planted for it and keeps the good ones."
CHECKSUMS = "checksums"
WHOLE = "Every byte is as it was written. A damaged table is moved aside, and the next run makes it again."
NIGHTS = 7
"""In so many nights each shard has its turn, when the check is run by itself."""

RATE = 100e6
"""Bytes that the check reads in a second when it is run by itself: what works meanwhile needs the disk too."""

KEPT_SHARE = "Each shard keeps a share of its rows within the recipe's `kept_share`."


def _of_samples(stage: Stage, ledger: Ledger, shards: Sequence[str]) -> Iterator[Row]:
    """What the fine-tune set promises its readers."""
    for key in shards:
        for finding in sample_violations(ledger, key):
            yield {
                "shard": key,
                "sample_id": finding["sample_id"],
                "problem": f"{finding['invariant']}: {finding['what']}",
            }


def _badly_read(stage: Stage, ledger: Ledger, shards: Sequence[str]) -> Iterator[Row]:
    for key in shards:
        for finding in unreadable(ledger, key):
            yield {"shard": key, "sample_id": finding["sample_id"], "problem": finding["what"]}


ALL_INVARIANTS = (
    *INVARIANTS,
    Invariant(
        "invariants",
        "Answers fit the order of the images, one image twice never differs, boxes are inside, and no caption, image "
        "or near-duplicate is on both sides of the split.",
        _of_samples,
        lambda stage: stage.name == SAMPLES,
        blocking=True,
    ),
    Invariant(
        "reads_well",
        "Questions and answers are sentences, without markdown, special tokens, or an answer in a name's place.",
        _badly_read,
        lambda stage: stage.name == SAMPLES,
    ),
)


def stage_checks(stage: Stage, names: Names) -> dg.AssetChecksDefinition:
    """The canaries of the stage's filters, its yield, the invariants that concern it, and what is stale of it."""
    asset = names.key(stage.name)
    invariants = [invariant for invariant in ALL_INVARIANTS if invariant.concerns(stage)]
    specs = [
        dg.AssetCheckSpec(invariant.name, asset=asset, description=invariant.description, blocking=invariant.blocking)
        for invariant in invariants
    ]
    specs.append(dg.AssetCheckSpec(CHECKSUMS, asset=asset, description=WHOLE))
    specs.append(dg.AssetCheckSpec(STALE, asset=asset, description=FRESH))
    if stage.filters:
        specs.append(dg.AssetCheckSpec("canaries", asset=asset, description=CANARIES, blocking=True))
        specs.append(dg.AssetCheckSpec("kept_share", asset=asset, description=KEPT_SHARE))

    resources = names.of("home"), names.of("recipe")

    @dg.multi_asset_check(
        name=names.of(f"{stage.name}_checks"), specs=specs, can_subset=True, required_resource_keys=set(resources)
    )
    def checks(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        home, recipe = (getattr(context.resources, name) for name in resources)
        wanted = {key.name for key in context.selected_asset_check_keys}
        ledger, values = Ledger(home.home.ledger), recipe.recipe({})
        shards = _shards(context, ledger, stage)
        for invariant in invariants:
            if invariant.name in wanted:
                yield _invariant_result(invariant, stage, ledger, shards)
        if STALE in wanted:
            yield _stale_result(stage, home.home, recipe.base, shards)
        if "canaries" in wanted:
            yield _canaries_result(stage, values)
        if "kept_share" in wanted:
            yield _kept_share_result(stage, ledger, shards, values)
        # Last: it moves a damaged table aside, and the others have something to say of it.
        if CHECKSUMS in wanted:
            yield _checksums_result(stage, home.home, shards, at_a_pace=not _is_of_shards(context))

    return checks


def _shards(context: dg.AssetCheckExecutionContext, ledger: Ledger, stage: Stage) -> list[str]:
    """The shards of the run; all, when the checks are run by themselves."""
    return list(context.op_execution_context.partition_keys) if _is_of_shards(context) else ledger.shards(stage.name)


def _is_of_shards(context: dg.AssetCheckExecutionContext) -> bool:
    op = context.op_execution_context
    return op.has_partition_key_range or op.has_partition_key


def _stale_result(stage: Stage, home: Home, recipe: Recipe, shards: Sequence[str]) -> dg.AssetCheckResult:
    """Asked of the recipe itself, not of what a launchpad made of it for one run: so what holds next is told."""
    try:
        tables = tables_of(home, recipe, shards, stage.name)
    except FileNotFoundError as error:
        return dg.AssetCheckResult(
            check_name=STALE, passed=False, severity=dg.AssetCheckSeverity.WARN, description=sentence(error)
        )
    return dg.AssetCheckResult(**stale_check(tables.get(stage.name, [])))


def _checksums_result(stage: Stage, home: Home, shards: Sequence[str], at_a_pace: bool) -> dg.AssetCheckResult:
    """What was written is what is on disk. By itself it looks at a few shards a night, and never faster than RATE."""
    due = shards
    if at_a_pace:
        night = datetime.datetime.now(datetime.UTC).toordinal() % NIGHTS
        due = [key for key in shards if int(key.removeprefix("shard-")) % NIGHTS == night]
    found = Verifying(home, RATE if at_a_pace else None).tables(stage, due)
    metadata: dict[str, Any] = {"shards": len(due), "bytes": found.bytes, "damaged_files": len(found.findings)}
    if found.findings:
        metadata["files"] = table_of([{"problem": str(finding)} for finding in found.findings[:SHOWN_ROWS]])
    return dg.AssetCheckResult(
        check_name=CHECKSUMS,
        passed=not found.findings,
        metadata=metadata,
        description="\n".join(map(str, found.findings[:SHOWN_ROWS])) or f"{counted(len(due), 'table')} whole",
    )


def _invariant_result(
    invariant: Invariant, stage: Stage, ledger: Ledger, shards: Sequence[str]
) -> dg.AssetCheckResult:
    try:
        rows = list(invariant.violations(stage, ledger, shards))
    except DamagedTable as error:
        rows = [{"problem": str(error)}]
    metadata: dict[str, Any] = {"shards": len(shards), "offending_rows": len(rows)}
    if rows:
        metadata["rows"] = table_of(rows[:SHOWN_ROWS])
    return dg.AssetCheckResult(
        check_name=invariant.name,
        passed=not rows,
        metadata=metadata,
        description=f"{len(rows)} rows; for example {rows[0]['problem']}" if rows else None,
    )


def _canaries_result(stage: Stage, recipe: Recipe) -> dg.AssetCheckResult:
    """The filters against the rows planted for them, with the thresholds of the run."""
    found = mistakes(stage, stage.settings(recipe))
    metadata: dict[str, Any] = {"filters": len(stage.filters), "offending_rows": len(found)}
    if found:
        metadata["rows"] = table_of([{"problem": sentence} for sentence in found])
    return dg.AssetCheckResult(
        check_name="canaries",
        passed=not found,
        metadata=metadata,
        description="\n".join(found) or f"{len(stage.filters)} filters work",
    )


def _kept_share_result(stage: Stage, ledger: Ledger, shards: Sequence[str], recipe: Recipe) -> dg.AssetCheckResult:
    """Whether each shard keeps as much as the recipe expects; if not, which filter rejects most."""
    bounds = recipe.kept_share.get(stage.name, (0.0, 1.0))
    records = [record for key in shards if (record := ledger.record(stage.name, key)) is not None]
    warnings = kept_share_warnings(records, bounds)
    metadata: dict[str, Any] = {"least": bounds[0], "largest": bounds[1], "offending_shards": len(warnings)}
    if warnings:
        metadata["shards"] = table_of([{"problem": sentence} for sentence in warnings[:SHOWN_ROWS]])
    return dg.AssetCheckResult(
        check_name="kept_share",
        passed=not warnings,
        severity=dg.AssetCheckSeverity.WARN,
        metadata=metadata,
        description="\n".join(warnings[:SHOWN_ROWS]) or "within the recipe's bounds",
    )
