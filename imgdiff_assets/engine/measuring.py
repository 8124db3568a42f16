"""Measuring the rows of a table that no earlier run has measured: batch by batch, each durable before the next."""

import datetime
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from imgdiff_assets.common.aliases import Row, Say
from imgdiff_assets.common.progress import Progress
from imgdiff_assets.common.tables import rows_of
from imgdiff_assets.engine.batches import Failure
from imgdiff_assets.engine.by_letter import PENDING, ByLetter, asked_by_letter
from imgdiff_assets.engine.measurer import HERE, Batch, Measurer, Task
from imgdiff_assets.engine.memo import Memo
from imgdiff_assets.engine.record import BOOKKEEPING
from imgdiff_assets.engine.rows import Rows
from imgdiff_assets.engine.shard_work import ShardWork
from imgdiff_assets.ledger.batch_notes import BatchNotes
from imgdiff_assets.ledger.checked_file import DamagedTable
from imgdiff_assets.ledger.images import ErasedImages
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.tables import read_undamaged
from imgdiff_assets.stages.stage import Stage
from imgdiff_assets.stages.steps import Measurement

BATCH_WITHOUT_MODEL = 4_096
NOTHING: Mapping[int, Mapping[str | None, str]] = {}


@dataclass(slots=True)
class Measured:
    """What came of one measurement: rows that were `reused`, results that are new, and rows that failed.

    `left` are the versions of earlier code whose results are among the reused ones.
    """

    reused: int = 0
    asked: int = 0
    new: int = 0
    left: list[int] = field(default_factory=list)
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
    measurer: Measurer

    def remember(self) -> dict[str, Memo]:
        """By measurement, everything measured before: by batches a killed run left behind, then by the table.

        A damaged table is moved aside; what is whole of it, as of a damaged batch, is not measured again.
        """
        bookkeeping = [self.stage.schema.field(name) for name in BOOKKEEPING]
        memos = {step.name: Memo(step, bookkeeping) for step in self.stage.measurements}
        for name, memo in memos.items():
            for batch in self.ledger.staged_batches(self.stage.name, self.shard, name):
                self._recall([memo], batch)
        if not memos:
            return memos
        schema = pa.unify_schemas([memo.light for memo in memos.values()])
        path = self.ledger.table_path(self.stage.name, self.shard)
        try:
            old = self.ledger.read(self.stage.name, self.shard, schema)
        except FileNotFoundError:
            aside = self.ledger.latest_aside(self.stage.name, self.shard)
        except DamagedTable as damage:
            aside = self.set_aside(damage)
        else:
            for memo in memos.values():
                memo.add_older(old, path)
            return memos
        if aside is not None:
            self._recall(list(memos.values()), aside)
        return memos

    def set_aside(self, damage: DamagedTable) -> PurePath:
        """Move the present table aside, and say so; returns where it went."""
        aside = self.ledger.quarantine(self.stage.name, self.shard)
        self.log(
            f"{self.stage.name} of {self.shard} is damaged ({damage.reason}); moved to {aside.name}, measuring again "
            "what is lost of it"
        )
        return aside

    def _recall(self, memos: Sequence[Memo], path: PurePath) -> None:
        """Remember what is whole of a file that may be damaged."""
        try:
            schema = pa.unify_schemas([memo.schema for memo in memos])
            table, lost = read_undamaged(path, schema, self.ledger.parts(self.stage.name, self.shard).lost)
        except DamagedTable:
            table, lost = None, {}
        if table is None or any(rows.any() for rows in lost.values()):
            self.log(f"{path.name} of {self.stage.name} is damaged; measuring again what is lost of it")
        for memo in memos if table is not None else ():
            memo.add_older(table, path, lost)

    def measure(
        self,
        step: Measurement,
        identities: Mapping[str | None, str],
        rows: Rows,
        memo: Memo,
        work: ShardWork,
        earlier: Mapping[int, Mapping[str | None, str]] = NOTHING,
        read: bool = True,
    ) -> Measured:
        """Fill the step's columns: from memory where the fingerprint holds, else, if it is `read`, by the models.

        A row that today's code has not measured is taken as `earlier` code measured it, the latest first: these are
        identities by version.
        """
        fingerprints = rows.fingerprints(step, identities)
        wanted, known, left = rows.alive(), memo.knows(fingerprints), []
        for version in sorted(earlier, reverse=True):
            before = rows.fingerprints(step, earlier[version])
            found = memo.knows(before) & ~known
            if found.any():
                fingerprints = pc.if_else(pa.array(found), before, fingerprints)
                known |= found
                left.append(version)
        missing = np.flatnonzero(wanted & ~known).tolist() if read else []
        result = Measured(reused=int(np.count_nonzero(wanted & known)), asked=len(missing), left=left)
        if missing:
            self._run_batches(step, missing, rows, fingerprints, memo, work, result)
        rows.fill(step, memo, fingerprints, result.failures)
        return result

    def _run_batches(
        self,
        step: Measurement,
        missing: list[int],
        rows: Rows,
        fingerprints: pa.ChunkedArray,
        memo: Memo,
        work: ShardWork,
        result: Measured,
    ) -> None:
        """Measure the rows with these indices."""
        sizes = [work.models.settings(role).batch_size for role in step.roles]
        task = Task(self.stage, step, work, max(sizes, default=BATCH_WITHOUT_MODEL))
        what = f"{self.stage.name}: {step.name}"
        self.progress(what, 0, len(missing))
        if (by_letter := self._by_letter(task)) is not None:
            # Nothing is waited for, so there is nothing that other processes would be of use for.
            with by_letter.asking():
                waiting = self._go_through(HERE, task, missing, rows, fingerprints, memo, result, by_letter)
            by_letter.send(all_of_them=True)
            if waiting:
                raise by_letter.pending(waiting)
        else:
            self._go_through(self.measurer, task, missing, rows, fingerprints, memo, result)

    def _by_letter(self, task: Task) -> ByLetter | None:
        settings = asked_by_letter(task)
        if settings is None:
            return None
        notes = BatchNotes(self.ledger.staging(self.stage.name, self.shard), task.step.name)
        what = f"{self.stage.name} of {self.shard}, {task.step.name}"
        return ByLetter(settings, notes, what, self.log, lambda: self.ledger.confirm(self.stage.name, self.shard))

    def _go_through(
        self,
        measurer: Measurer,
        task: Task,
        missing: list[int],
        rows: Rows,
        fingerprints: pa.ChunkedArray,
        memo: Memo,
        result: Measured,
        by_letter: ByLetter | None = None,
    ) -> int:
        """Measure batch after batch; returns how many rows wait for answers."""
        what, done, waiting = f"{self.stage.name}: {task.step.name}", 0, 0
        for batch, results in measurer.measure(task, self._batches(task, missing, rows)):
            measured: dict[int, list[Row]] = {}
            for index, made in zip(batch.indices, results, strict=True):
                if isinstance(made, Failure) and made.kind == PENDING and by_letter is not None:
                    waiting += 1
                elif isinstance(made, Failure):
                    result.failures[index] = made
                else:
                    measured[index] = made
            self._keep(task.step, measured, fingerprints, memo)
            if by_letter is not None:
                by_letter.send(all_of_them=False)
            result.new += len(measured)
            done += len(batch.indices)
            self.progress(what, done, len(missing))
        return waiting

    def _batches(self, task: Task, missing: list[int], rows: Rows) -> Iterator[Batch]:
        """The rows with these indices, as many together as a model takes."""
        # Of this very stage's rows images are there once they have an id.
        own = self.stage.name == ErasedImages.asset and task.step is not self.stage.measurements[0]
        for start in range(0, len(missing), task.batch_size):
            indices = missing[start : start + task.batch_size]
            values = rows_of(rows.table.take(indices), task.step.reads)
            made = {row[self.stage.id_column]: rows.made(row[self.stage.id_column]) for row in values} if own else {}
            yield Batch(indices, values, made)

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
