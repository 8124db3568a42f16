"""Image cells are read by row group: few in memory, and as fast at the end of a large file as at its start."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from imgdiff_assets.ledger.cells import IMAGE, CellReference, GroupedFile, ImageColumns

SCHEMA = pa.schema([("id", pa.string()), ("image", IMAGE)])


def _cell(number: int) -> dict[str, Any]:
    return {"bytes": b"%d" % number, "path": f"{number}.png"}


def _file(path: Path, count: int, group_rows: int = 16) -> Path:
    rows = [{"id": str(number), "image": _cell(number)} for number in range(count)]
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), path, row_group_size=group_rows)
    return path


@pytest.fixture
def read_groups(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, tuple[str, ...]]]:
    """The row groups that are read, with their columns, in order."""
    read: list[tuple[int, tuple[str, ...]]] = []
    original = pq.ParquetFile.read_row_groups

    def watch(self: pq.ParquetFile, groups: list[int], columns: list[str]) -> pa.Table:
        read.extend((group, tuple(columns)) for group in groups)
        return original(self, groups, columns=columns)

    monkeypatch.setattr(pq.ParquetFile, "read_row_groups", watch)
    return read


def test_images_are_read_a_row_group_at_a_time(tmp_path: Path, read_groups: list[Any]) -> None:
    path = _file(tmp_path / "rows.parquet", 40)
    images = ImageColumns(["image"])
    for row in (0, 5, 15, 16, 31, 39, 17):
        assert images.read(CellReference(path, row)) == {"image": _cell(row)}
    assert read_groups == [(0, ("image",)), (1, ("image",)), (2, ("image",)), (1, ("image",))]
    for row in (40, -1):
        with pytest.raises(IndexError, match=f"row {row} of 40"):
            images.read(CellReference(path, row))
    assert images.read(None) == {"image": None}
    images.close()


@pytest.mark.parametrize("sizes", [[3, 1, 4], [1], [2, 0, 0, 5], [0, 2]])
def test_every_row_is_found_whatever_the_groups(tmp_path: Path, sizes: list[int]) -> None:
    path, number = tmp_path / "rows.parquet", 0
    with pq.ParquetWriter(path, SCHEMA) as writer:
        for size in sizes:
            rows = [{"id": str(number + row), "image": _cell(number + row)} for row in range(size)]
            writer.write_table(pa.Table.from_pylist(rows, SCHEMA))
            number += size
    file = GroupedFile(path, ["id", "image"])
    for row in [*range(number), *reversed(range(number))]:
        group = file.group_of(row)
        assert row in group
        assert group.cells(row) == {"id": str(row), "image": _cell(row)}
        assert group.end - group.first == len(group.columns["id"])
    file.close()


def test_a_file_without_rows_has_no_row(tmp_path: Path) -> None:
    file = GroupedFile(_file(tmp_path / "rows.parquet", 0), ["id"])
    with pytest.raises(IndexError, match="row 0 of 0"):
        file.group_of(0)
    file.close()


class _WatchedMetadata:
    """The metadata of a Parquet file; counts the row groups that are looked at."""

    looks = 0

    def __init__(self, metadata: pq.FileMetaData) -> None:
        self._metadata = metadata

    def __getattr__(self, name: str) -> Any:
        return getattr(self._metadata, name)

    def row_group(self, group: int) -> Any:
        _WatchedMetadata.looks += 1
        return self._metadata.row_group(group)


def test_a_row_is_found_without_a_look_at_all_groups_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read_groups: list[Any]
) -> None:
    """A shard may have a million rows: to look at every group for every group is no matter of seconds then."""
    groups, lookups = 20_000, 50
    path = _file(tmp_path / "rows.parquet", groups, group_rows=1)
    monkeypatch.setattr(_WatchedMetadata, "looks", 0)
    images = ImageColumns(["image"])
    file = images._open(path).file
    assert file._parquet.num_row_groups == groups
    file._layout = replace(file._layout, metadata=_WatchedMetadata(file._layout.metadata))
    for row in range(0, groups, groups // lookups):
        assert images.read(CellReference(path, row)) == {"image": _cell(row)}
    images.close()
    assert len(read_groups) == lookups
    assert _WatchedMetadata.looks == 0


def test_few_files_are_open_at_once(tmp_path: Path) -> None:
    images = ImageColumns(["image"])
    for number in range(30):
        images.read(CellReference(_file(tmp_path / f"{number}.parquet", 9), 3))
    assert len(images._files) <= ImageColumns.KEPT_FILES
    images.close()


def test_an_open_reader_goes_on_with_the_file_it_opened(tmp_path: Path) -> None:
    path = _file(tmp_path / "rows.parquet", 40)
    images = ImageColumns(["image"])
    images.read(CellReference(path, 0))
    _file(tmp_path / "new.parquet", 1).replace(path)
    assert images.read(CellReference(path, 39)) == {"image": _cell(39)}
    assert images.read_others(path, ["id"])["id"].to_pylist() == [str(number) for number in range(40)]
    images.close()
