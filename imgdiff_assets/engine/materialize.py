"""Running one stage over one shard: reuse, measure in batches, judge, commit.

Every batch that is measured is durable before the next begins; the table is replaced by one rename at the end. What
was measured before (in the table, or in batches that a killed run left behind) is found again by fingerprint.
"""

import datetime
import os
import platform
import time
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from imgdiff_assets.common.aliases import Booleans, Integers, Row, Say
from imgdiff_assets.common.environment import library_versions
from imgdiff_assets.common.hashing import CHUNK_ROWS, content_hash, row_hashes
from imgdiff_assets.common.progress import Progress
from imgdiff_assets.common.tables import rows_of, scattered, values_of
from imgdiff_assets.engine.batches import Failure, Measuring
from imgdiff_assets.engine.loaded_models import LoadedModels
from imgdiff_assets.engine.memo import Memo
from imgdiff_assets.engine.parents import Inputs, MissingInput
from imgdiff_assets.engine.record import (
    BOOKKEEPING,
    Materialization,
    filter_statistic,
    fresh_record,
    output_hash,
    role_identity,
    settings_hash,
)
from imgdiff_assets.engine.shard_work import ShardWork
from imgdiff_assets.ledger.cells import CellReference, is_image
from imgdiff_assets.ledger.images import HASH_COLUMNS, ErasedImages, GivenImages, PairImages, StoredImages
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.tables import conform
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.stage import (
    ERROR_PREFIX,
    UPSTREAM,
    Derivation,
    Filter,
    Measurement,
    Stage,
    columns_of_table,
)
from resources.loading import devices, turns

BATCH_WITHOUT_MODEL = 4_096


class ShardFailed(RuntimeError):
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
) -> Materialization:
    """Bring the table of `stage` for `shard` up to date with `inputs` and `recipe`; one that is, is not even read.

    Raises ShardFailed (after committing) when more than `recipe.max_error_share` of the rows of any measurement
    failed, MissingInput when the inputs are damaged, FileNotFoundError when a model's weights are missing.
    """
    holder = f"run {run_id} (process {os.getpid()} on {platform.node()})"

    def give_way(text: str) -> None:
        log(text)
        devices.give_way()  # or two would wait for each other: one for a table or a GPU that the other has

    with ledger.lock(stage.name, shard, holder, on_wait=give_way), turns.taking_turns(ledger.locks, holder, give_way):
        return _StageRun(stage, shard, inputs, recipe, ledger, models, run_id, log, progress).run()


class _StageRun:
    """One call of `materialize`: rows as columns, and their verdicts, step by step.

    Only the rows of a batch that is being measured are Python values, for a shard may have a million.
    """

    def __init__(
        self,
        stage: Stage,
        shard: str,
        inputs: Inputs,
        recipe: Recipe,
        ledger: Ledger,
        models: LoadedModels,
        run_id: str,
        log: Say,
        progress: Progress,
    ) -> None:
        self.stage, self.shard, self.recipe, self.ledger, self.models = stage, shard, recipe, ledger, models
        self.run_id, self.log, self.progress = run_id, log, progress
        self.inputs = inputs
        self.settings = stage.settings(recipe)
        self.identities = {
            step.name: content_hash(
                stage.name,
                step.name,
                step.version,
                step.settings(recipe),
                [role_identity(stage, role, recipe, models) for role in step.roles],
            )
            for step in stage.measurements
        }
        self.record = Materialization(
            asset=stage.name,
            shard=shard,
            run_id=run_id,
            recipe=recipe.name,
            recipe_hash=recipe.hash,
            settings_hash=settings_hash(stage, recipe, models),
            code_version=stage.code_version,
            inputs_hash=inputs.hash,
            settings=self.settings.model_dump(mode="json"),
            seed=recipe.seed,
            models={role: role_identity(stage, role, recipe, models) for role in stage.roles},
        )
        self.rows = pa.table({})
        self.rejected_by = _no_texts(0)
        self.errors = _no_texts(0)
        self.references: list[CellReference | None] = []
        self.made: dict[str, CellReference] = {}
        self.error_share = 0.0

    def run(self) -> Materialization:
        started = time.monotonic()
        devices.begin_peaks()
        present = self._present()
        if present is not None:
            return present
        memos = self._remember()
        items = self._items()
        parent_kept = items["kept"].to_numpy()
        self.record.rows_in = int(np.count_nonzero(parent_kept))
        self.rows = conform(items, pa.schema(self.stage.item_columns)).combine_chunks()
        self.rejected_by = _no_texts(len(items))
        self.rejected_by[~parent_kept] = UPSTREAM
        self.errors = _no_texts(len(items))
        work = self._work()
        try:
            if work.pair_images is not None:
                self._check_images(work.pair_images)
            for step in self.stage.steps:
                if isinstance(step, Measurement):
                    self._measure(step, memos.pop(step.name), work)
                elif isinstance(step, Derivation):
                    self._derive(step)
                else:
                    self._filter(step)
        finally:
            work.close()
        self._commit(time.monotonic() - started)
        if self.error_share > self.recipe.max_error_share:
            raise ShardFailed(self._error_summary())
        return self.record

    def _present(self) -> Materialization | None:
        """The stored record, if the table is up to date already."""
        now = self.record
        stored = fresh_record(self.ledger, self.stage, self.shard, now.settings_hash, now.inputs_hash)
        if stored is None:
            return None
        record = Materialization.from_json(stored)
        record.reused, record.measured, record.calls, record.step_seconds = record.rows_in, 0, {}, {}
        record.changed, record.seconds = False, 0.0
        return record

    def _work(self) -> ShardWork:
        """What the stage's measurements may use: images of its parents, and those it makes itself."""
        work = ShardWork(self.recipe, self.models)
        if "image_pairs" in self.stage.parents:
            work.pair_images = PairImages(self.ledger, self.shard)
        if self.inputs.given_images is not None and self.inputs.given_images.exists():
            work.given_images = GivenImages(self.inputs.given_images)
        if "removed_pairs" in self.stage.parents:
            work.erased_images = ErasedImages(self.ledger, self.shard)
        elif "erased_image" in self.stage.schema.names:
            work.erased_images = StoredImages(["erased_image"], self._made)
        return work

    def _made(self, identity: str) -> CellReference:
        """Where the images are that were made of a row of this very stage."""
        if not self.made:
            ids = self.rows[self.stage.id_column].to_pylist()
            self.made = {key: made for key, made in zip(ids, self.references, strict=True) if made is not None}
        return self.made[identity]

    def _items(self) -> pa.Table:
        try:
            return self.stage.items(self.inputs.read(), self.recipe)
        except KeyError as error:
            raise MissingInput(
                f"{self.stage.name} of {self.shard}: {', '.join(self.stage.parents)} do not belong together, for "
                f"{error} is not in all of them: materialise them again, in the order of the graph."
            ) from error

    def _check_images(self, images: PairImages) -> None:
        """What is measured on other images than the row names would be remembered as measured on those."""
        kept = self.rows.filter(pa.array(self._alive()))
        names = [values_of(kept[name]) for name in ("pair_id", *HASH_COLUMNS)]
        if any(images.hashes.get(pair_id) != tuple(hashes) for pair_id, *hashes in zip(*names, strict=True)):
            raise MissingInput(
                f"{self.stage.name} of {self.shard}: {self.stage.parents[0]} was made from other images than "
                f"image_pairs has now: materialise {self.stage.parents[0]} again, or run the whole graph."
            )

    def _read_old(self, schema: pa.Schema) -> pa.Table | None:
        """The present table; a damaged one is moved aside, and its rows are measured again."""
        if not self.ledger.exists(self.stage.name, self.shard):
            return None
        try:
            return self.ledger.read(self.stage.name, self.shard, schema)
        except (pa.ArrowException, OSError) as error:
            aside = self.ledger.quarantine(self.stage.name, self.shard)
            self.log(f"{self.stage.name} of {self.shard} is damaged ({error}); moved to {aside.name}, measuring again")
            return None

    def _remember(self) -> dict[str, Memo]:
        """Everything measured before: by batches a killed run left behind, then by the table."""
        bookkeeping = [self.stage.schema.field(name) for name in BOOKKEEPING]
        memos = {step.name: Memo(step, bookkeeping) for step in self.stage.measurements}
        for name, memo in memos.items():
            for batch in self.ledger.staged_batches(self.stage.name, self.shard, name):
                try:
                    with pq.ParquetFile(batch) as file:
                        names = [column.name for column in file.schema_arrow if not is_image(column)]
                        memo.add(conform(file.read(columns=names), memo.schema), batch)
                except (pa.ArrowException, OSError):
                    self.log(f"{batch.name} of {self.stage.name} was torn by a kill; measuring its rows again")
                    batch.unlink()
        schemas = [memo.light for memo in memos.values()]
        old = self._read_old(pa.unify_schemas(schemas)) if schemas else None
        if old is not None:
            path = self.ledger.table_path(self.stage.name, self.shard)
            for memo in memos.values():
                memo.add_older(old, path)
        return memos

    def _fingerprints(self, step: Measurement) -> pa.ChunkedArray:
        """Of every row, the hash of all that the result of a measurement depends on."""
        rows, id_column = self.rows, self.stage.id_column
        ids = rows[id_column] if id_column in rows.column_names else pa.chunked_array([pa.nulls(len(rows))])
        hashes = row_hashes(self.identities[step.name], ids, [rows[name] for name in step.inputs])
        if pc.count_distinct(hashes).as_py() < len(hashes):
            raise ValueError(f"{self.stage.name} of {self.shard}: two rows have the same id and inputs in {step.name}")
        return pa.chunked_array([hashes])

    def _measure(self, step: Measurement, memo: Memo, work: ShardWork) -> None:
        """Fill the step's columns: from memory where the fingerprint holds, else by running the models."""
        started = time.monotonic()
        fingerprints = self._fingerprints(step)
        wanted, known = self._alive(), memo.knows(fingerprints)
        missing = np.flatnonzero(wanted & ~known).tolist()
        reused = int(np.count_nonzero(wanted & known))
        if step is self.stage.measurements[0]:
            self.record.reused = reused
        failures: dict[int, Failure] = {}
        if missing:
            for role in step.roles:
                work.model(role)
            failures = self._run_batches(step, missing, fingerprints, memo, work)
        self._fill(step, memo, fingerprints, failures)
        # Of all rows that the step is for: those that failed before, alone tried again, are still a few of many.
        self.error_share = max(self.error_share, len(failures) / max(reused + len(missing), 1))
        self.record.calls[step.name] = len(missing)
        self.record.step_seconds[step.name] = round(time.monotonic() - started, 3)

    def _run_batches(
        self, step: Measurement, missing: list[int], fingerprints: pa.ChunkedArray, memo: Memo, work: ShardWork
    ) -> dict[int, Failure]:
        """Measure the rows with these indices; returns those that failed."""
        sizes = [self.models.settings(role).batch_size for role in step.roles]
        measuring = Measuring(step, work, max(sizes, default=BATCH_WITHOUT_MODEL))
        failures: dict[int, Failure] = {}
        what = f"{self.stage.name}: {step.name}"
        self.progress(what, 0, len(missing))
        done = 0
        while done < len(missing):
            batch = missing[done : done + measuring.batch_size]
            results: dict[int, list[Row]] = {}
            for index, result in zip(batch, measuring.run(rows_of(self.rows.take(batch), step.inputs)), strict=True):
                if isinstance(result, Failure):
                    failures[index] = result
                else:
                    results[index] = result
            self._stage_results(step, results, fingerprints, memo)
            if step is self.stage.measurements[0]:
                self.record.measured += len(results)
            done += len(batch)
            self.progress(what, done, len(missing))
        return failures

    def _stage_results(
        self, step: Measurement, results: Mapping[int, list[Row]], fingerprints: pa.ChunkedArray, memo: Memo
    ) -> None:
        """Make a batch durable, then remember it as it lies on disk: as a restarted run would find it."""
        if not results:
            return
        hashes = fingerprints.take(pa.array(results)).to_pylist()
        known = {"run_id": self.run_id, "measured_at": datetime.datetime.now(datetime.UTC)}
        rows = [
            {**row, step.fingerprint_column: fingerprint, **known}
            for fingerprint, produced in zip(hashes, results.values(), strict=True)
            for row in produced
        ]
        path = self.ledger.stage_batch(self.stage.name, self.shard, step.name, rows, memo.schema)
        memo.add(pa.Table.from_pylist(rows, schema=memo.light), path)

    def _fill(
        self, step: Measurement, memo: Memo, fingerprints: pa.ChunkedArray, failures: Mapping[int, Failure]
    ) -> None:
        """Give every row its measured columns. A row that is out of the running keeps what it was measured to have."""
        for index, failure in failures.items():
            self.rejected_by[index], self.errors[index] = ERROR_PREFIX + failure.kind, failure.message
        self.record.errors += len(failures)
        found = self._expand(step, memo.owners(fingerprints))
        results = memo.table().take(pa.array(found, mask=found < 0))
        for column in (*step.columns, memo.schema.field(step.fingerprint_column)):
            if not is_image(column):
                self.rows = self.rows.append_column(column, results[column.name])
        self._keep_books(results)
        if memo.has_images:
            self.references = [memo.references[result] if result >= 0 else None for result in found.tolist()]
        if step is self.stage.measurements[0] and self.stage.row_id is not None:
            self.rows = self.rows.append_column(self.stage.id_column, _row_ids(self.rows, self.stage.row_id))

    def _expand(self, step: Measurement, owners: Integers) -> Integers:
        """Give each row as many copies as it has results; returns which result each copy gets, -1 for none.

        A row without a result stays one row, unless it is set aside and has never been measured at all.
        """
        results = np.argsort(owners, kind="stable")[np.count_nonzero(owners < 0) :]
        copies = np.bincount(owners[results], minlength=len(self.rows))
        without = copies == 0
        if step is self.stage.measurements[0]:
            without &= self.rejected_by != UPSTREAM
        measured = np.repeat(copies > 0, copies + without)
        found = np.full(len(measured), -1)
        found[measured] = results
        if len(found) != len(self.rows) or (copies > 1).any():
            rows = np.arange(len(self.rows)).repeat(copies + without)
            self.rows, self.rejected_by = self.rows.take(rows), self.rejected_by[rows]
            self.errors = self.errors[rows]
            self.references = [self.references[row] for row in rows.tolist()] if self.references else []
        return found

    def _keep_books(self, results: pa.Table) -> None:
        """Say which run measured each row last; a row that none has measured is this run's."""
        for name in BOOKKEEPING:
            if name in self.rows.column_names:
                column = pc.coalesce(results[name], self.rows[name])
                self.rows = self.rows.set_column(self.rows.schema.get_field_index(name), name, column)
            else:
                column = pc.fill_null(results[name], self.run_id) if name == "run_id" else results[name]
                self.rows = self.rows.append_column(name, column)

    def _alive(self) -> Booleans:
        """Which rows are still in the running."""
        return np.asarray(pa.array(self.rejected_by, pa.string()).is_null(), dtype=bool)

    def _derive(self, step: Derivation) -> None:
        alive = np.flatnonzero(self._alive())
        values = step.compute(columns_of_table(self.rows.select(step.reads).take(alive), step.reads), self.settings)
        column = scattered(values, alive, len(self.rows), step.column.type)
        self.rows = self.rows.append_column(step.column, column)

    def _filter(self, step: Filter) -> None:
        alive = np.flatnonzero(self._alive())
        reads = list(dict.fromkeys((*step.reads, step.score) if step.score else step.reads))
        columns = columns_of_table(self.rows.select(reads).take(alive), reads)
        passes = step.judge(columns, self.settings)
        self.rejected_by[alive[~passes]] = step.name
        self.record.filters.append(filter_statistic(step, columns, passes, self.settings))

    def _commit(self, seconds: float) -> None:
        """Write the table and its record."""
        record, kept = self.record, self._alive()
        verdicts = {"kept": kept, "rejected_by": self.rejected_by, "error": self.errors}
        rows = self.rows
        for name, values in verdicts.items():
            rows = rows.append_column(name, pa.array(values, self.stage.schema.field(name).type))
        rows = conform(rows, self.stage.schema)
        record.output_hash = output_hash(rows)
        record.rows = len(rows)
        record.kept = int(np.count_nonzero(kept))
        names, counts = np.unique(self.rejected_by[~kept].astype(str), return_counts=True)
        record.rejections = dict(zip(names.tolist(), counts.tolist(), strict=True))
        record.seconds = round(seconds, 3)
        record.peak_memory = {
            role: peak for role in self.stage.roles if (peak := self.models.peak_memory(role)) is not None
        }
        record.devices = {role: self.models.device(role) for role in self.stage.roles if role in self.models.opened}
        record.versions = library_versions()
        record.finished_at = datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds")
        self.ledger.commit(self.stage.name, self.shard, self.stage.schema, rows, self.references, record.to_json())

    def _error_summary(self) -> str:
        record = self.record
        kinds = [f"{count} {name}" for name, count in record.rejections.items() if name.startswith(ERROR_PREFIX)]
        example = next(error for error in self.errors if error)
        return (
            f"{self.stage.name} of {self.shard}: {record.errors} rows failed ({', '.join(kinds)}), more than "
            f"max_error_share {self.recipe.max_error_share} allows; for example: {example}. The other rows are in "
            "the ledger; the failed ones are tried again by the next run."
        )


def _no_texts(length: int) -> npt.NDArray[np.object_]:
    return np.full(length, None)


def _row_ids(rows: pa.Table, row_id: Callable[[Row], str]) -> pa.Array:
    """The id of each row, some rows at a time."""
    chunks = (rows.slice(start, CHUNK_ROWS) for start in range(0, len(rows), CHUNK_ROWS))
    return pa.array([row_id(row) for chunk in chunks for row in rows_of(chunk, rows.column_names)], pa.string())
