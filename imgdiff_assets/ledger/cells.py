"""Cells that hold images: where they lie in Parquet files, and how they are read, a row group at a time."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import numpy as np
import pyarrow as pa

from imgdiff_assets.ledger.checked_file import CheckedFile

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
"""The Hugging Face `Image` layout: `datasets` decodes such a column without being told."""


def is_image(field: pa.Field) -> bool:
    """Whether the column holds encoded images, which are never all in memory at once."""
    return bool(field.type.equals(IMAGE))


@dataclass(frozen=True, slots=True)
class CellReference:
    """A row of a Parquet file whose image columns are read only when they are needed."""

    path: PurePath
    row: int


@dataclass(frozen=True, slots=True)
class RowGroup:
    """Some columns of the rows of a file from `first` up to, not including, `end`."""

    first: int
    end: int
    columns: Mapping[str, Sequence[Any]]

    def __contains__(self, row: int) -> bool:
        return self.first <= row < self.end

    def cells(self, row: int) -> dict[str, Any]:
        """The row's values by column; `row` counts from the start of the file."""
        return {name: values[row - self.first] for name, values in self.columns.items()}


class GroupedFile:
    """An open Parquet file of which some columns are read by row group, keeping the latest.

    Each is found by one search: a large table has thousands. Raises FileNotFoundError, DamagedTable.
    """

    def __init__(self, path: PurePath, columns: Sequence[str]) -> None:
        self.file = CheckedFile(path, rescue=True)
        self._columns = list(columns)
        self._latest = RowGroup(0, 0, {})

    def group_of(self, row: int) -> RowGroup:
        """The row group that the row is in, without columns that the file lacks. Raises IndexError, DamagedTable."""
        bounds = self.file.bounds
        if row not in self._latest:
            if not 0 <= row < bounds[-1]:
                raise IndexError(f"row {row} of {bounds[-1]}")
            group = int(np.searchsorted(bounds, row, side="right")) - 1
            values = self.file.read(self._columns, [group]).to_pydict()
            self._latest = RowGroup(int(bounds[group]), int(bounds[group + 1]), values)
        return self._latest

    def close(self) -> None:
        self.file.close()


class ImageColumns:
    """Reads image cells of Parquet files by row group, keeping one group of each of the latest few files.

    A shard may be measured in more batches than a process may have files open, or a machine memory for.
    """

    KEPT_FILES = 8

    def __init__(self, names: Sequence[str]) -> None:
        self._names = list(names)
        self._files: OrderedDict[PurePath, GroupedFile] = OrderedDict()

    def read(self, reference: CellReference | None) -> dict[str, Any]:
        """The image cells (`{"bytes", "path"}` or None) of one row; without a reference there are none."""
        if reference is None:
            return dict.fromkeys(self._names)
        return self._open(reference.path).group_of(reference.row).cells(reference.row)

    def read_others(self, path: PurePath, names: Sequence[str]) -> pa.Table:
        """Other columns of the very file whose images are read, whatever replaces it in the meantime."""
        return self._open(path).file.read(names)

    def _open(self, path: PurePath) -> GroupedFile:
        if path not in self._files:
            if len(self._files) == self.KEPT_FILES:
                self._files.popitem(last=False)[1].close()
            self._files[path] = GroupedFile(path, self._names)
        self._files.move_to_end(path)
        return self._files[path]

    def close(self) -> None:
        """Close the files; on some systems an open file cannot be replaced."""
        while self._files:
            self._files.popitem()[1].close()
