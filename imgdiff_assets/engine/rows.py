"""The table in the making: rows as columns, with their verdicts, step by step."""

from collections.abc import Callable, Mapping
from functools import reduce

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from imgdiff_assets.common.aliases import Booleans, Columns, Integers, Row
from imgdiff_assets.common.hashing import CHUNK_ROWS, row_hashes
from imgdiff_assets.common.tables import columns_of_table, rows_of, scattered
from imgdiff_assets.engine.batches import Failure
from imgdiff_assets.engine.memo import Memo
from imgdiff_assets.engine.record import BOOKKEEPING
from imgdiff_assets.ledger.cells import CellReference, is_image
from imgdiff_assets.ledger.tables import conform
from imgdiff_assets.stages.stage import ERROR_PREFIX, UPSTREAM, Stage
from imgdiff_assets.stages.steps import Derivation, Filter, Measurement


class Rows:
    """Rows of one stage and shard: `table` has the columns so far, without images, to which `references` lead.

    `rejected_by` and `errors` are None for a row in the running. Rows are never Python values all at once, for a
    shard may have a million.
    """

    def __init__(self, stage: Stage, items: pa.Table, parent_kept: Booleans, run_id: str) -> None:
        self._stage, self._run_id = stage, run_id
        self.table = conform(items, pa.schema(stage.item_columns)).combine_chunks()
        self.rejected_by = _no_texts(len(items))
        self.rejected_by[~parent_kept] = UPSTREAM
        self.errors = _no_texts(len(items))
        self.references: list[CellReference | None] = []
        self._made: dict[str, CellReference] = {}

    def alive(self) -> Booleans:
        """Which rows are still in the running."""
        return np.asarray(pa.array(self.rejected_by, pa.string()).is_null(), dtype=bool)

    def fingerprints(self, step: Measurement, identities: Mapping[str | None, str]) -> pa.ChunkedArray:
        """Of every row, the hash of all that the result of a measurement depends on: `identities` by its way."""
        ways = iter(identities.items())
        hashes = self._hashes(step, next(ways)[1])
        for way, identity in ways:
            told = pc.fill_null(pc.equal(self.table[step.ways.column], way), False) if step.ways is not None else False
            hashes = pc.if_else(told, self._hashes(step, identity), hashes)
        if pc.count_distinct(hashes).as_py() < len(hashes):
            raise ValueError(f"{self._stage.name}: two rows have the same id and inputs in {step.name}")
        return pa.chunked_array([hashes])

    def _hashes(self, step: Measurement, identity: str) -> pa.Array:
        """The fingerprints as they are of rows of one way."""
        name, rows = self._stage.id_column, self.table
        ids = rows[name] if name in rows.column_names else pa.chunked_array([pa.nulls(len(rows))])
        hashes = row_hashes(identity, ids, [rows[name] for name in step.inputs])
        later = [rows[name] for name in step.later_inputs]
        if known := [column.is_valid() for column in later if column.null_count < len(rows)]:
            told = reduce(pc.or_, known).combine_chunks()
            hashes = pc.if_else(told, row_hashes(identity, ids, [rows[name] for name in step.reads]), hashes)
        return hashes

    def made(self, identity: str) -> CellReference:
        """Where the images are that were made of a row of this very stage."""
        if not self._made:
            ids = self.table[self._stage.id_column].to_pylist()
            self._made = {key: made for key, made in zip(ids, self.references, strict=True) if made is not None}
        return self._made[identity]

    def fill(
        self, step: Measurement, memo: Memo, fingerprints: pa.ChunkedArray, failures: Mapping[int, Failure]
    ) -> None:
        """Give every row its measured columns. A row that is out of the running keeps what it was measured to have."""
        for index, failure in failures.items():
            self.rejected_by[index], self.errors[index] = ERROR_PREFIX + failure.kind, failure.message
        found = self._expand(step, memo.owners(fingerprints))
        results = memo.table().take(pa.array(found, mask=found < 0))
        for column in (*step.columns, memo.schema.field(step.fingerprint_column)):
            if not is_image(column):
                self.table = self.table.append_column(column, results[column.name])
        self._keep_books(results)
        if memo.has_images:
            self.references = [memo.references[result] if result >= 0 else None for result in found.tolist()]
        if step is self._stage.measurements[0] and self._stage.row_id is not None:
            self.table = self.table.append_column(self._stage.id_column, _row_ids(self.table, self._stage.row_id))

    def _expand(self, step: Measurement, owners: Integers) -> Integers:
        """Give each row as many copies as it has results; returns which result each copy gets, -1 for none.

        A row without a result stays one row, unless it is set aside and has never been measured at all.
        """
        results = np.argsort(owners, kind="stable")[np.count_nonzero(owners < 0) :]
        copies = np.bincount(owners[results], minlength=len(self.table))
        without = copies == 0
        if step is self._stage.measurements[0]:
            without &= self.rejected_by != UPSTREAM
        measured = np.repeat(copies > 0, copies + without)
        found = np.full(len(measured), -1)
        found[measured] = results
        if len(found) != len(self.table) or (copies > 1).any():
            rows = np.arange(len(self.table)).repeat(copies + without)
            self.table, self.rejected_by = self.table.take(rows), self.rejected_by[rows]
            self.errors = self.errors[rows]
            self.references = [self.references[row] for row in rows.tolist()] if self.references else []
        return found

    def _keep_books(self, results: pa.Table) -> None:
        """Say which run measured each row last; a row that none has measured is this run's."""
        for name in BOOKKEEPING:
            if name in self.table.column_names:
                column = pc.coalesce(results[name], self.table[name])
                self.table = self.table.set_column(self.table.schema.get_field_index(name), name, column)
            else:
                column = pc.fill_null(results[name], self._run_id) if name == "run_id" else results[name]
                self.table = self.table.append_column(name, column)

    def derive(self, step: Derivation, settings: object) -> None:
        """Compute a column from the rows in the running."""
        alive = np.flatnonzero(self.alive())
        columns = columns_of_table(self.table.select(step.reads).take(alive), step.reads)
        values = step.compute(columns, step.own(settings))
        self.table = self.table.append_column(step.column, scattered(values, alive, len(self.table), step.column.type))

    def judge(self, step: Filter, settings: object) -> tuple[Columns, Booleans]:
        """Reject what does not pass; returns what the filter saw of the rows in the running, and which passed."""
        alive = np.flatnonzero(self.alive())
        reads = list(dict.fromkeys((*step.reads, step.score) if step.score else step.reads))
        columns = columns_of_table(self.table.select(reads).take(alive), reads)
        passes = step.judge(columns, settings)
        self.rejected_by[alive[~passes]] = step.name
        return columns, passes

    def finished(self) -> pa.Table:
        """All columns but images."""
        rows = self.table
        for name, values in (("kept", self.alive()), ("rejected_by", self.rejected_by), ("error", self.errors)):
            rows = rows.append_column(name, pa.array(values, self._stage.schema.field(name).type))
        return conform(rows, self._stage.schema)

    def rejections(self) -> dict[str, int]:
        """Rows by what rejected them."""
        names, counts = np.unique(self.rejected_by[~self.alive()].astype(str), return_counts=True)
        return dict(zip(names.tolist(), counts.tolist(), strict=True))


def _no_texts(length: int) -> npt.NDArray[np.object_]:
    return np.full(length, None)


def _row_ids(rows: pa.Table, row_id: Callable[[Row], str]) -> pa.Array:
    """The id of each row, some rows at a time."""
    chunks = (rows.slice(start, CHUNK_ROWS) for start in range(0, len(rows), CHUNK_ROWS))
    return pa.array([row_id(row) for chunk in chunks for row in rows_of(chunk, rows.column_names)], pa.string())
