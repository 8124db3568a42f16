"""Running one stage over one shard: reuse, measure in batches, judge, commit.

Every batch that is measured is durable before the next begins; the table is replaced by one rename at the end. What
was measured before (in the table, or in batches that a killed run left behind) is found again by fingerprint.
"""

import datetime
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from imgdiff_assets.environment import library_versions
from imgdiff_assets.hashing import content_hash
from imgdiff_assets.images import HASH_COLUMNS, PairImages
from imgdiff_assets.inputs import Inputs, MissingInput
from imgdiff_assets.ledger import CellReference, Ledger, conform, is_image
from imgdiff_assets.materialization import (
    BOOKKEEPING,
    Materialization,
    filter_statistic,
    fresh_record,
    output_hash,
    settings_hash,
)
from imgdiff_assets.measuring import Failure, Measuring
from imgdiff_assets.models import Models
from imgdiff_assets.recipe import Recipe
from imgdiff_assets.stage import (
    ERROR_PREFIX,
    UPSTREAM,
    Derivation,
    Filter,
    Measurement,
    Row,
    Stage,
    columns_of_rows,
)

Log = Callable[[str], None]
Progress = Callable[[str, int, int], None]
"""Called as (what, rows done, rows to do) after every batch."""


class ShardFailed(RuntimeError):
    """More rows of a shard failed than the recipe tolerates; what could be measured is in the ledger."""


@dataclass(slots=True)
class _Work:
    """What measurements are handed; see `imgdiff_assets.stage.Work`."""

    recipe: Recipe
    models: Models
    pair_images: PairImages | None

    def model(self, role: str) -> Any:
        return self.models.open(role)

    def images(self, pair_id: str) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        if self.pair_images is None:
            raise LookupError("this stage comes before the images")
        return self.pair_images(pair_id)


@dataclass(slots=True)
class _Memo:
    """What is known already: the rows of each fingerprint, with where their images are."""

    rows: dict[str, list[tuple[Row, CellReference]]] = field(default_factory=dict)

    def add(self, fingerprint: str | None, row: Row, reference: CellReference) -> None:
        if fingerprint is not None:
            self.rows.setdefault(fingerprint, []).append((row, reference))


def materialize(
    stage: Stage,
    shard: str,
    inputs: Inputs,
    recipe: Recipe,
    ledger: Ledger,
    models: Models,
    run_id: str,
    log: Log = lambda text: None,
    progress: Progress = lambda what, done, total: None,
) -> Materialization:
    """Bring the table of `stage` for `shard` up to date with `inputs` and `recipe`; one that is, is not even read.

    Raises ShardFailed (after committing) when more than `recipe.max_error_share` of the rows of any measurement
    failed, MissingInput when the inputs are damaged, FileNotFoundError when a model's weights are missing.
    """
    with ledger.lock(stage.name, shard, holder=f"run {run_id}", on_wait=log):
        return _StageRun(stage, shard, inputs, recipe, ledger, models, run_id, log, progress).run()


class _StageRun:
    """One call of `materialize`: rows and their verdicts, step by step."""

    def __init__(
        self,
        stage: Stage,
        shard: str,
        inputs: Inputs,
        recipe: Recipe,
        ledger: Ledger,
        models: Models,
        run_id: str,
        log: Log,
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
                [models.identity(role) for role in step.roles],
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
            models={role: models.identity(role) for role in stage.roles},
        )
        self.rows: list[Row] = []
        self.rejected_by: list[str | None] = []
        self.references: list[CellReference | None] = []
        self.error_share = 0.0

    def run(self) -> Materialization:
        started = time.monotonic()
        present = self._present()
        if present is not None:
            return present
        old = self._read_old()
        memos = self._remember(old)
        self.rows = self._items()
        self.record.rows_in = sum(row["parent_kept"] for row in self.rows)
        self.rejected_by = [None if row["parent_kept"] else UPSTREAM for row in self.rows]
        self.references = [None] * len(self.rows)
        needs_images = "image_pairs" in self.stage.parents
        work = _Work(self.recipe, self.models, PairImages(self.ledger, self.shard) if needs_images else None)
        try:
            if work.pair_images is not None:
                self._check_images(work.pair_images)
            for step in self.stage.steps:
                if isinstance(step, Measurement):
                    self._measure(step, memos[step.name], work)
                elif isinstance(step, Derivation):
                    self._derive(step)
                else:
                    self._filter(step)
        finally:
            if work.pair_images is not None:
                work.pair_images.close()
        for row, verdict in zip(self.rows, self.rejected_by, strict=True):
            row.update(kept=verdict is None, rejected_by=verdict)
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

    def _items(self) -> list[Row]:
        try:
            return self.stage.items(self.inputs.read(), self.recipe)
        except KeyError as error:
            raise MissingInput(
                f"{self.stage.name} of {self.shard}: {', '.join(self.stage.parents)} do not belong together, for "
                f"{error} is not in all of them: materialise them again, in the order of the graph."
            ) from error

    def _check_images(self, images: PairImages) -> None:
        """What is measured on other images than the row names would be remembered as measured on those."""
        for row in self.rows:
            if row["parent_kept"] and images.hashes.get(row["pair_id"]) != tuple(row[name] for name in HASH_COLUMNS):
                raise MissingInput(
                    f"{self.stage.name} of {self.shard}: {self.stage.parents[0]} was made from other images than "
                    f"image_pairs has now: materialise {self.stage.parents[0]} again, or run the whole graph."
                )

    def _read_old(self) -> pa.Table | None:
        """The present table; a damaged one is moved aside, and its rows are measured again."""
        if not self.ledger.exists(self.stage.name, self.shard):
            return None
        try:
            return self.ledger.read(self.stage.name, self.shard, self.stage.schema)
        except (pa.ArrowException, OSError) as error:
            aside = self.ledger.quarantine(self.stage.name, self.shard)
            self.log(f"{self.stage.name} of {self.shard} is damaged ({error}); moved to {aside.name}, measuring again")
            return None

    def _remember(self, old: pa.Table | None) -> dict[str, _Memo]:
        """Everything measured before: by the table, then by batches a killed run left behind."""
        memos = {step.name: _Memo() for step in self.stage.measurements}
        path = self.ledger.table_path(self.stage.name, self.shard)
        for number, row in enumerate(old.to_pylist() if old is not None else []):
            for step in self.stage.measurements:
                memos[step.name].add(row[step.fingerprint_column], row, CellReference(path, number))
        for step in self.stage.measurements:
            staged = _Memo()
            for batch in self.ledger.staged_batches(self.stage.name, self.shard, step.name):
                try:
                    with pq.ParquetFile(batch) as file:
                        names = [name.name for name in file.schema_arrow if not is_image(name)]
                        table = conform(file.read(columns=names), self._staging_schema(step))
                except (pa.ArrowException, OSError):
                    self.log(f"{batch.name} of {self.stage.name} was torn by a kill; measuring its rows again")
                    batch.unlink()
                    continue
                for number, row in enumerate(table.to_pylist()):
                    staged.add(row[step.fingerprint_column], row, CellReference(batch, number))
            memos[step.name].rows.update(staged.rows)
        return memos

    def _staging_schema(self, step: Measurement) -> pa.Schema:
        return pa.schema(
            [pa.field(step.fingerprint_column, pa.string()), *step.columns, *_bookkeeping_fields(self.stage)]
        )

    def _fingerprint(self, step: Measurement, row: Row) -> str:
        return content_hash(
            self.identities[step.name], row.get(self.stage.id_column), [row.get(name) for name in step.inputs]
        )

    def _measure(self, step: Measurement, memo: _Memo, work: _Work) -> None:
        """Fill the step's columns: from memory where the fingerprint holds, else by running the models."""
        started = time.monotonic()
        fingerprints = [self._fingerprint(step, row) for row in self.rows]
        if len(set(fingerprints)) < len(fingerprints):
            raise ValueError(f"{self.stage.name} of {self.shard}: two rows have the same id and inputs in {step.name}")
        missing = [
            index
            for index, fingerprint in enumerate(fingerprints)
            if self.rejected_by[index] is None and fingerprint not in memo.rows
        ]
        reused = sum(
            self.rejected_by[index] is None and fingerprint in memo.rows
            for index, fingerprint in enumerate(fingerprints)
        )
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
        self, step: Measurement, missing: Sequence[int], fingerprints: Sequence[str], memo: _Memo, work: _Work
    ) -> dict[int, Failure]:
        """Measure the rows with these indices; returns those that failed."""
        measuring = Measuring(step, work, max([self.models.settings(role).batch_size for role in step.roles] or [256]))
        failures: dict[int, Failure] = {}
        what = f"{self.stage.name}: {step.name}"
        self.progress(what, 0, len(missing))
        done = 0
        while done < len(missing):
            batch = missing[done : done + measuring.batch_size]
            results: dict[int, list[Row]] = {}
            for index, result in zip(batch, measuring.run([self.rows[index] for index in batch]), strict=True):
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
        self, step: Measurement, results: Mapping[int, list[Row]], fingerprints: Sequence[str], memo: _Memo
    ) -> None:
        """Make a batch durable, then remember it as it lies on disk: as a restarted run would find it."""
        if not results:
            return
        measured_at = datetime.datetime.now(datetime.UTC)
        rows = [
            {**row, step.fingerprint_column: fingerprints[index], "run_id": self.run_id, "measured_at": measured_at}
            for index, produced in results.items()
            for row in produced
        ]
        schema = self._staging_schema(step)
        path = self.ledger.stage_batch(self.stage.name, self.shard, step.name, rows, schema)
        light = pa.schema([column for column in schema if not is_image(column)])
        for number, row in enumerate(pa.Table.from_pylist(rows, schema=light).to_pylist()):
            memo.add(row[step.fingerprint_column], row, CellReference(path, number))

    def _fill(
        self, step: Measurement, memo: _Memo, fingerprints: Sequence[str], failures: Mapping[int, Failure]
    ) -> None:
        """Give every row its measured columns. A row that is out of the running keeps what it was measured to have."""
        first = step is self.stage.measurements[0]
        names = [column.name for column in step.columns if not is_image(column)]
        rows: list[Row] = []
        rejected_by: list[str | None] = []
        references: list[CellReference | None] = []
        for index, row in enumerate(self.rows):
            verdict = self.rejected_by[index]
            known = memo.rows.get(fingerprints[index], [])
            if index in failures:
                verdict = ERROR_PREFIX + failures[index].kind
                row["error"] = failures[index].message
                self.record.errors += 1
            for found, reference in known:
                filled = {**row, **{name: found[name] for name in (*names, *BOOKKEEPING)}}
                filled[step.fingerprint_column] = fingerprints[index]
                rows.append(filled)
                rejected_by.append(verdict)
                references.append(reference if first else self.references[index])
            if not known and not (first and verdict == UPSTREAM):
                rows.append({"run_id": self.run_id, **row})
                rejected_by.append(verdict)
                references.append(self.references[index])
        self.rows, self.rejected_by, self.references = rows, rejected_by, references
        if first:
            for row in self.rows:
                row[self.stage.id_column] = self.stage.row_id(row)

    def _alive(self) -> list[int]:
        return [index for index, verdict in enumerate(self.rejected_by) if verdict is None]

    def _derive(self, step: Derivation) -> None:
        alive = self._alive()
        values = step.compute(columns_of_rows([self.rows[index] for index in alive], step.reads), self.settings)
        for index, value in zip(alive, values.tolist(), strict=True):
            self.rows[index][step.column.name] = value

    def _filter(self, step: Filter) -> None:
        alive = self._alive()
        reads = (*step.reads, step.score) if step.score else step.reads
        columns = columns_of_rows([self.rows[index] for index in alive], reads)
        passes = step.passes(columns, self.settings)
        for index, passed in zip(alive, passes, strict=True):
            if not passed:
                self.rejected_by[index] = step.name
        self.record.filters.append(filter_statistic(step, columns, passes, self.settings))

    def _commit(self, seconds: float) -> None:
        """Write the table and its record."""
        record = self.record
        light = pa.schema([column for column in self.stage.schema if not is_image(column)])
        record.output_hash = output_hash(pa.Table.from_pylist(self.rows, schema=light))
        record.rows = len(self.rows)
        record.kept = sum(row["kept"] for row in self.rows)
        for verdict in self.rejected_by:
            if verdict is not None:
                record.rejections[verdict] = record.rejections.get(verdict, 0) + 1
        record.seconds = round(seconds, 3)
        record.devices = {role: self.models.device(role) for role in self.stage.roles if role in self.models.opened}
        record.versions = library_versions()
        record.finished_at = datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds")
        self.ledger.commit(
            self.stage.name, self.shard, self.stage.schema, self.rows, self.references, record.to_json()
        )

    def _error_summary(self) -> str:
        record = self.record
        kinds = [f"{count} {name}" for name, count in record.rejections.items() if name.startswith(ERROR_PREFIX)]
        example = next(row["error"] for row in self.rows if row.get("error"))
        return (
            f"{self.stage.name} of {self.shard}: {record.errors} rows failed ({', '.join(kinds)}), more than "
            f"max_error_share {self.recipe.max_error_share} allows; for example: {example}. The other rows are in "
            "the ledger; the failed ones are tried again by the next run."
        )


def _bookkeeping_fields(stage: Stage) -> list[pa.Field]:
    return [stage.schema.field(name) for name in BOOKKEEPING]
