"""What was measured before, as columns: found again by fingerprint, in the table or in batches that a run left."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from imgdiff_assets.common.aliases import Booleans, Integers
from imgdiff_assets.common.tables import positions
from imgdiff_assets.ledger.cells import CellReference, is_image
from imgdiff_assets.stages.steps import Measurement

NOTHING: Mapping[str, Booleans] = {}


@dataclass(slots=True)
class Memo:
    """The results of one measurement: its columns, fingerprint and bookkeeping, but for images, which stay on disk.

    A measurement that makes images has a reference to them for each result; of any other there are none.
    """

    step: Measurement
    bookkeeping: Sequence[pa.Field]
    references: list[CellReference] = field(default_factory=list)
    _tables: list[pa.Table] = field(default_factory=list)

    @property
    def schema(self) -> pa.Schema:
        """The columns of a batch on disk; images are among them."""
        fingerprint = pa.field(self.step.fingerprint_column, pa.string())
        return pa.schema([fingerprint, *self.step.columns, *self.bookkeeping])

    @property
    def light(self) -> pa.Schema:
        """The columns that are held in memory."""
        return pa.schema([column for column in self.schema if not is_image(column)])

    @property
    def has_images(self) -> bool:
        return any(is_image(column) for column in self.step.columns)

    def add(self, table: pa.Table, path: PurePath, where: Booleans | None = None) -> None:
        """Add the rows of a file (those of them `where` it is true)."""
        table = table.select(self.light.names)
        self._tables.append(table if where is None else table.filter(pa.array(where)))
        if self.has_images:
            rows = range(len(table)) if where is None else np.flatnonzero(where).tolist()
            self.references += [CellReference(path, row) for row in rows]

    def add_older(self, table: pa.Table, path: PurePath, lost: Mapping[str, Booleans] = NOTHING) -> None:
        """Add the rows of a table that have a result, unless there is one of that fingerprint already.

        `lost` are the rows of a damaged table whose values in a column cannot be read: they have no result.
        """
        fingerprints = table[self.step.fingerprint_column]
        wanted = fingerprints.is_valid().to_numpy() & ~self.knows(fingerprints)
        for name in (self.step.fingerprint_column, *(column.name for column in self.step.columns)):
            if name in lost:
                wanted &= ~self._doubtful(fingerprints, lost[name])
        self.add(table, path, wanted)

    def _doubtful(self, fingerprints: pa.ChunkedArray, lost: Booleans) -> Booleans:
        """The rows without a result. Of a result that is several rows, one after the other, all count or none."""
        if not self.step.expands:
            return lost
        beside = lost.copy()
        beside[1:] |= lost[:-1]
        beside[:-1] |= lost[1:]
        torn = fingerprints.filter(pa.array(beside)).drop_null()
        beside |= pc.is_in(fingerprints, value_set=torn.combine_chunks()).to_numpy()
        return beside

    def table(self) -> pa.Table:
        """All results, in the order in which they were added."""
        if len(self._tables) != 1:
            self._tables = [pa.concat_tables([self.light.empty_table(), *self._tables]).combine_chunks()]
        return self._tables[0]

    def knows(self, fingerprints: pa.ChunkedArray) -> Booleans:
        """Which of the fingerprints have a result."""
        return positions(fingerprints, self.table()[self.step.fingerprint_column]) >= 0

    def owners(self, fingerprints: pa.ChunkedArray) -> Integers:
        """For each result, the position of its fingerprint; -1 if it is not among them."""
        return positions(self.table()[self.step.fingerprint_column], fingerprints)
