"""Cells that hold images, or say in which part one lies: how they are read, a row group at a time."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import numpy as np
import pyarrow as pa

from imgdiff_assets.ledger.aside import latest_aside
from imgdiff_assets.ledger.checked_file import CheckedFile, DamagedTable
from imgdiff_assets.ledger.places import part_path

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
"""The Hugging Face `Image` layout: `datasets` decodes such a column without being told."""

PLACE = pa.struct([("part", pa.string()), ("row", pa.int64())])
"""What a table has in the place of an image: the part that it lies in, and which row of that it is."""

PART_SCHEMA = pa.schema([("hash", pa.string()), ("image", IMAGE)])
"""Of a part; the hash is that of the row that the image was made for, or of its bytes."""

NOT_THERE = "it is not there"


def is_image(field: pa.Field) -> bool:
    """Whether the column holds encoded images or their places; images are never all in memory at once."""
    return bool(field.type.equals(IMAGE)) or bool(field.type.equals(PLACE))


def is_place(cell: Mapping[str, Any] | None) -> bool:
    """Whether a cell says where an image lies."""
    return cell is not None and "part" in cell


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


def open_part(path: PurePath, columns: Sequence[str] = ("image",)) -> GroupedFile:
    """A part, or what was set aside of it: what is whole of that is still of use. Raises DamagedTable."""
    try:
        return GroupedFile(path, columns)
    except FileNotFoundError:
        aside = latest_aside(path)
    try:
        if aside is not None:
            return GroupedFile(aside, columns)
    except FileNotFoundError:
        pass
    raise DamagedTable(path, NOT_THERE)


class ImageColumns:
    """Reads image cells of Parquet files by row group, keeping one group of each of the latest few files.

    A shard may be measured in more batches than a process may have files open, or a machine memory for.
    """

    KEPT_FILES = 8

    def __init__(self, names: Sequence[str]) -> None:
        self._names = list(names)
        self._files: OrderedDict[PurePath, GroupedFile] = OrderedDict()
        self._parts: OrderedDict[PurePath, GroupedFile] = OrderedDict()

    def read(self, reference: CellReference | None) -> dict[str, Any]:
        """The image cells (`{"bytes", "path"}` or None) of one row; without a reference there are none.

        Raises DamagedTable, also where an image's part is damaged or gone.
        """
        found = self.stored(reference)
        for name, cell in found.items():
            if reference is not None and is_place(cell):
                part = self._part(part_path(reference.path, cell["part"]))
                found[name] = part.group_of(cell["row"]).cells(cell["row"])["image"]
        return found

    def stored(self, reference: CellReference | None) -> dict[str, Any]:
        """The same as the file has them: images, or their places."""
        if reference is None:
            return dict.fromkeys(self._names)
        return self._open(reference.path).group_of(reference.row).cells(reference.row)

    def read_others(self, path: PurePath, names: Sequence[str]) -> pa.Table:
        """Other columns of the very file whose images are read, whatever replaces it in the meantime."""
        return self._open(path).file.read(names)

    def _open(self, path: PurePath) -> GroupedFile:
        if path not in self._files:
            _make_room(self._files, self.KEPT_FILES)
            self._files[path] = GroupedFile(path, self._names)
        self._files.move_to_end(path)
        return self._files[path]

    def _part(self, path: PurePath) -> GroupedFile:
        if path not in self._parts:
            _make_room(self._parts, self.KEPT_FILES)
            self._parts[path] = open_part(path)
        self._parts.move_to_end(path)
        return self._parts[path]

    def close(self) -> None:
        """Close the files; on some systems an open file cannot be replaced."""
        for files in (self._files, self._parts):
            _make_room(files, 1)


def _make_room(files: OrderedDict[PurePath, GroupedFile], kept: int) -> None:
    while len(files) >= kept:
        files.popitem(last=False)[1].close()
