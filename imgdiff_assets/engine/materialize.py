"""Running one stage over one shard: plan, reuse, measure in batches, judge, commit.

Every batch that is measured is durable before the next begins; the table is replaced by one rename at the end. What
was measured before (in the table, or in batches that a killed run left behind) is found again by fingerprint.
"""

import datetime
import os
import platform
import time

import numpy as np
import pyarrow as pa

from imgdiff_assets.common.aliases import Say
from imgdiff_assets.common.environment import library_versions
from imgdiff_assets.common.errors import ImgDiffError
from imgdiff_assets.common.plain_text import counted
from imgdiff_assets.common.progress import Progress
from imgdiff_assets.common.tables import values_of
from imgdiff_assets.engine.dropped_images import WITH_IMAGES, want_again
from imgdiff_assets.engine.loaded_models import LoadedModels
from imgdiff_assets.engine.measurer import HERE, Measurer
from imgdiff_assets.engine.measuring import Measuring
from imgdiff_assets.engine.parents import Inputs, MissingInput
from imgdiff_assets.engine.plan import TablePlan, plan_stage, plan_table
from imgdiff_assets.engine.record import Materialization, filter_statistic, output_hash
from imgdiff_assets.engine.rows import Rows
from imgdiff_assets.engine.shard_work import ShardWork, Sources
from imgdiff_assets.ledger.checked_file import DamagedTable
from imgdiff_assets.ledger.images import HASH_COLUMNS, ErasedImages, ImagesDropped, PairImages, StoredImages
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.store.store import store_of
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.stage import ERROR_PREFIX, Stage
from imgdiff_assets.stages.steps import Derivation, Measurement
from resources.loading import devices, turns


class ShardFailed(ImgDiffError, RuntimeError):
    """More rows of a shard failed than the recipe tolerates; what could be measured is in the ledger."""


def materialize(
    stage: Stage,
    shard: str,
    inputs: Inputs,
    recipe: Recipe,
    ledger: Ledger,
    models: LoadedModels,
    run_id: str,
    log: Say = lambda text: None,
    progress: Progress = lambda what, done, total: None,
    retry: bool = False,
    again: bool = False,
    measurer: Measurer = HERE,
) -> Materialization:
    """Bring the table of `stage` for `shard` up to date with `inputs` and `recipe`; one that is, is not even read.

    With `retry`, rows that failed are tried again however often they were. What an earlier release's code measured is
    measured `again` only when that is asked for; else these rows stay as they are. Raises ShardFailed (after
    committing) when more than `recipe.max_error_share` of the rows of any measurement failed, MissingInput when the
    inputs are damaged, FileNotFoundError when a model's weights are missing.
    """
    holder = f"run {run_id} (process {os.getpid()} on {platform.node()})"

    def give_way(text: str) -> None:
        log(text)
        measurer.give_way()
        devices.give_way()  # or two would wait for each other: one for a table or a GPU that the other has

    with ledger.lock(stage.name, shard, holder, on_wait=give_way), turns.taking_turns(ledger.locks, holder, give_way):
        plan = plan_table(plan_stage(stage, recipe, models), ledger, shard, inputs.hash, again=again)
        if plan.fresh and not (retry and plan.retries):
            return present(plan)
        measuring = Measuring(plan.how.stage, shard, ledger, run_id, log, progress, measurer)
        try:
            return _make(plan, inputs, recipe, ledger, models, measuring, again)
        except DamagedTable as damage:
            _set_aside(damage, plan, ledger, measuring)
        return _make(plan, inputs, recipe, ledger, models, measuring, again)


def present(plan: TablePlan) -> Materialization:
    """The record of a table that is up to date already."""
    record = Materialization.from_json(plan.record or {})
    record.reused, record.measured, record.calls, record.step_seconds = record.rows_in, 0, {}, {}
    record.changed, record.seconds = False, 0.0
    return record


def _set_aside(damage: DamagedTable, plan: TablePlan, ledger: Ledger, measuring: Measuring) -> None:
    """Damage that was found when rows or images were asked for; what was measured until then is in batches.

    Raises MissingInput where it is the damage of a parent, which the next run mends.
    """
    if ledger.owns(plan.how.stage.name, plan.shard, damage.path):
        measuring.set_aside(damage)
    for parent in plan.how.stage.tables:
        if ledger.owns(parent, plan.shard, damage.path):
            aside = ledger.set_aside_damaged(parent, plan.shard)
            where = f"moved to {aside.name}" if aside is not None else "another run has just seen to it"
            raise MissingInput(
                f"{parent} of {plan.shard} is damaged ({damage.reason}); {where}. The next run measures again what is "
                f"lost of it, and then {plan.how.stage.name}."
            ) from damage


def _make(
    plan: TablePlan,
    inputs: Inputs,
    recipe: Recipe,
    ledger: Ledger,
    models: LoadedModels,
    measuring: Measuring,
    again: bool,
) -> Materialization:
    started = time.monotonic()
    devices.begin_peaks()
    measuring.measurer.uses()  # of another table
    stage, settings = plan.how.stage, plan.how.stage.settings(recipe)
    record = Materialization.of(plan, recipe, measuring.run_id)
    record.corrected = dict(inputs.corrected)
    memos = measuring.remember()
    items = _items(plan, inputs, recipe)
    parent_kept = items["kept"].to_numpy() & stage.enabled(recipe)
    versions = {} if again else plan.earlier_versions
    record.rows_in = int(np.count_nonzero(parent_kept))
    rows = Rows(stage, items, parent_kept, measuring.run_id)
    work = _work(plan, inputs, ledger, models, rows)
    try:
        if work.pair_images is not None:
            _check_images(plan, rows, work.pair_images)
        for step in stage.steps:
            if isinstance(step, Measurement):
                begun = time.monotonic()
                handed = work.with_settings(stage, recipe, step)
                earlier = {version: plan.how.identities(step, version) for version in versions.get(step.name, ())}
                memo, read = memos.pop(step.name), step.name not in plan.how.unread
                done = measuring.measure(step, plan.how.identities(step), rows, memo, handed, earlier, read)
                record.left |= {step.name: done.left} if done.left else {}
                record.errors += len(done.failures)
                record.error_share = max(record.error_share, done.error_share)
                record.calls[step.name] = done.asked
                record.step_seconds[step.name] = round(time.monotonic() - begun, 3)
                if step is stage.measurements[0]:
                    record.reused, record.measured = done.reused, done.new
            elif isinstance(step, Derivation):
                rows.derive(step, settings)
            else:
                columns, passes = rows.judge(step, settings)
                record.filters.append(filter_statistic(step, columns, passes, settings))
    except ImagesDropped as dropped:
        raise _wanted_again(dropped, plan, rows, ledger) from dropped
    finally:
        work.close()
    record.tries = plan.tries + 1 if record.errors else 0
    record.workers = dict(measuring.measurer.uses())
    _commit(plan, rows, record, ledger, models, time.monotonic() - started)
    if record.error_share > recipe.max_error_share:
        raise ShardFailed(_error_summary(record, rows, recipe.max_error_share))
    return record


def _items(plan: TablePlan, inputs: Inputs, recipe: Recipe) -> pa.Table:
    stage = plan.how.stage
    try:
        return stage.items(inputs.read(), stage.values(recipe, stage.item_settings))
    except KeyError as error:
        raise MissingInput(
            f"{stage.name} of {plan.shard}: {', '.join(stage.parents)} do not belong together, for {error} is not in "
            "all of them: materialise them again, in the order of the graph."
        ) from error


def _work(plan: TablePlan, inputs: Inputs, ledger: Ledger, models: LoadedModels, rows: Rows) -> ShardWork:
    """What the stage's measurements may use: images of its parents, and those it makes itself."""
    stage, given = plan.how.stage, inputs.given_images
    sources = Sources(
        ledger=ledger.root,
        shard=plan.shard,
        pairs=PairImages.asset in stage.parents,
        derived=PairImages.derived in stage.parents,
        erased=ErasedImages.asset in stage.parents,
        given=given if given is not None and store_of(given).version(given) is not None else None,
    )
    work = sources.open(models)
    if stage.name == ErasedImages.asset:
        work.erased_images = StoredImages(ErasedImages.columns, rows.made)
    return work


def _wanted_again(dropped: ImagesDropped, plan: TablePlan, rows: Rows, ledger: Ledger) -> MissingInput:
    """Rows that are in the running again want images that were not kept."""
    made_by = next(stage for stage in WITH_IMAGES if ledger.owns(stage.name, plan.shard, dropped.path))
    ids = rows.table.filter(pa.array(rows.alive()))[made_by.id_column].to_pylist()
    holder = f"{plan.how.stage.name} of {plan.shard} (process {os.getpid()} on {platform.node()})"
    with ledger.lock(made_by.name, plan.shard, holder):
        count = want_again(ledger, made_by, plan.shard, ids)
    return MissingInput(
        f"{plan.how.stage.name} of {plan.shard} wants images again that were dropped, as the recipe's retention says: "
        f"the next run makes those of {counted(count, 'row')} again, and goes on."
    )


def _check_images(plan: TablePlan, rows: Rows, images: PairImages) -> None:
    """What is measured on other images than the row names would be remembered as measured on those."""
    if not {"pair_id", *HASH_COLUMNS} <= set(rows.table.column_names):
        return
    kept = rows.table.filter(pa.array(rows.alive()))
    names = [values_of(kept[name]) for name in ("pair_id", *HASH_COLUMNS)]
    if any(images.hashes.get(pair_id) != tuple(hashes) for pair_id, *hashes in zip(*names, strict=True)):
        parent = plan.how.stage.parents[0]
        raise MissingInput(
            f"{plan.how.stage.name} of {plan.shard}: {parent} was made from other images than {images.asset} has now: "
            f"materialise {parent} again, or run the whole graph."
        )


def _commit(
    plan: TablePlan, rows: Rows, record: Materialization, ledger: Ledger, models: LoadedModels, seconds: float
) -> None:
    """Write the table and its record."""
    stage, table = plan.how.stage, rows.finished()
    record.output_hash = output_hash(table)
    record.rows = len(table)
    record.kept = int(np.count_nonzero(rows.alive()))
    record.rejections = rows.rejections()
    record.seconds = round(seconds, 3)
    record.peak_memory = {role: peak for role in stage.roles if (peak := models.peak_memory(role)) is not None}
    record.devices = {role: models.device(role) for role in stage.roles if role in models.opened}
    record.add_workers()
    record.versions = library_versions()
    record.finished_at = datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds")
    ledger.commit(stage.name, plan.shard, stage.schema, table, rows.references, record.to_json())


def _error_summary(record: Materialization, rows: Rows, allowed: float) -> str:
    kinds = [f"{count} {name}" for name, count in record.rejections.items() if name.startswith(ERROR_PREFIX)]
    example = next(error for error in rows.errors if error)
    return (
        f"{record.asset} of {record.shard}: {record.errors} rows failed ({', '.join(kinds)}), more than "
        f"max_error_share {allowed} allows; for example: {example}. The other rows are in the ledger; the failed ones "
        "are tried again by the next run."
    )
