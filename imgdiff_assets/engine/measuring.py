"""Measuring the rows of a table that no earlier run has measured: batch by batch, each durable before the next."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from imgdiff_assets.common.aliases import Row, Say
from imgdiff_assets.common.progress import Progress
from imgdiff_assets.common.tables import rows_of
from imgdiff_assets.engine.batches import Batches, Failure
from imgdiff_assets.engine.memo import Memo
from imgdiff_assets.engine.record import BOOKKEEPING
from imgdiff_assets.engine.rows import Rows
from imgdiff_assets.engine.shard_work import ShardWork
from imgdiff_assets.ledger.ledger import Ledger, conform, is_image
from imgdiff_assets.stages.stage import Stage
from imgdiff_assets.stages.steps import Measurement

BATCH_WITHOUT_MODEL = 4_096


@dataclass(slots=True)
class Measured:
    """What came of one measurement: rows that were `reused`, results that are new, and rows that failed."""

    reused: int = 0
    asked: int = 0
    new: int = 0
    failures: dict[int, Failure] = field(default_factory=dict)

    @property
    def error_share(self) -> float:
        """Of all rows that the measurement is for: those that failed before, tried again alone, are a few of many."""
        return len(self.failures) / max(self.reused + self.asked, 1)


@dataclass(frozen=True, slots=True)
class Measuring:
    """Measures the rows of one table, and remembers what was measured before."""

    stage: Stage
    shard: str
    ledger: Ledger
    run_id: str
    log: Say
    progress: Progress

    def remember(self) -> dict[str, Memo]:
        """By measurement, everything measured before: by batches a killed run left behind, then by the table."""
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

    def measure(self, step: Measurement, identity: str, rows: Rows, memo: Memo, work: ShardWork) -> Measured:
        """Fill the step's columns: from memory where the fingerprint holds, else by running the models."""
        fingerprints = rows.fingerprints(step, identity)
        wanted, known = rows.alive(), memo.knows(fingerprints)
        missing = np.flatnonzero(wanted & ~known).tolist()
        result = Measured(reused=int(np.count_nonzero(wanted & known)), asked=len(missing))
        if missing:
            for role in step.roles:
                work.model(role)
            self._run_batches(step, missing, rows.table, fingerprints, memo, work, result)
        rows.fill(step, memo, fingerprints, result.failures)
        return result

    def _run_batches(
        self,
        step: Measurement,
        missing: list[int],
        table: pa.Table,
        fingerprints: pa.ChunkedArray,
        memo: Memo,
        work: ShardWork,
        result: Measured,
    ) -> None:
        """Measure the rows with these indices."""
        sizes = [work.models.settings(role).batch_size for role in step.roles]
        batches = Batches(step, work, max(sizes, default=BATCH_WITHOUT_MODEL))
        what = f"{self.stage.name}: {step.name}"
        self.progress(what, 0, len(missing))
        done = 0
        while done < len(missing):
            batch = missing[done : done + batches.batch_size]
            measured: dict[int, list[Row]] = {}
            for index, made in zip(batch, batches.run(rows_of(table.take(batch), step.inputs)), strict=True):
                if isinstance(made, Failure):
                    result.failures[index] = made
                else:
                    measured[index] = made
            self._keep(step, measured, fingerprints, memo)
            result.new += len(measured)
            done += len(batch)
            self.progress(what, done, len(missing))

    def _keep(
        self, step: Measurement, measured: Mapping[int, list[Row]], fingerprints: pa.ChunkedArray, memo: Memo
    ) -> None:
        """Make a batch durable, then remember it as it lies on disk: as a restarted run would find it."""
        if not measured:
            return
        hashes = fingerprints.take(pa.array(measured)).to_pylist()
        known = {"run_id": self.run_id, "measured_at": datetime.datetime.now(datetime.UTC)}
        rows = [
            {**row, step.fingerprint_column: fingerprint, **known}
            for fingerprint, produced in zip(hashes, measured.values(), strict=True)
            for row in produced
        ]
        path = self.ledger.stage_batch(self.stage.name, self.shard, step.name, rows, memo.schema)
        memo.add(pa.Table.from_pylist(rows, schema=memo.light), path)
