"""Every bit of a Parquet file is doubted: what is read is what was written, or the damage is named."""

import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from imgdiff_assets.ledger import checksums, tables
from imgdiff_assets.ledger.cells import IMAGE, CellReference, ImageColumns
from imgdiff_assets.ledger.checked_file import CheckedFile, DamagedTable

SCHEMA = pa.schema([("id", pa.string()), ("score", pa.float32()), ("image", IMAGE)])
ROWS = [
    {"id": f"{number:08x}", "score": number / 4, "image": {"bytes": bytes(range(number, number + 40)), "path": None}}
    for number in range(40)
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Three row groups: rows 0 to 15, 16 to 31, 32 to 39."""
    file = tmp_path / "rows.parquet"
    tables.write_rows(file, ROWS, SCHEMA)
    return file


def flipped(path: Path, place: int, bit: int = 0) -> Path:
    data = bytearray(path.read_bytes())
    data[place] ^= 1 << bit
    file = path.with_name("flipped.parquet")
    file.write_bytes(data)
    return file


def start_of(path: Path, column: str, group: int) -> int:
    metadata = pq.read_metadata(path)
    names = [metadata.schema.column(number).path for number in range(metadata.num_columns)]
    return int(metadata.row_group(group).column(names.index(column)).data_page_offset)


def test_no_flipped_bit_is_overlooked_and_none_costs_more_than_its_column_of_its_rows(path: Path) -> None:
    for place in range(0, path.stat().st_size, 17):
        file = flipped(path, place, bit=place % 8)
        with pytest.raises(DamagedTable, match=r"flipped\.parquet is damaged: "):
            tables.read_table(file, images=True)
        with pytest.raises(DamagedTable):
            tables.verify(file)
        rows, lost = tables.read_undamaged(file, SCHEMA)
        assert sum(column.any() for column in lost.values()) <= 1
        assert sum(column.sum() for column in lost.values()) in (0, 8, 16)
        for name in ("id", "score"):
            left = rows[name].filter(pa.array(~lost[name])).to_pylist()
            assert left == [row[name] for row, gone in zip(ROWS, lost[name], strict=True) if not gone]


def test_what_is_cut_off_is_noticed_and_a_second_footer_saves_the_rows(path: Path) -> None:
    size, footer = path.stat().st_size, pq.read_metadata(path).serialized_size
    for length in range(0, size, 11):
        file = path.with_name("cut.parquet")
        file.write_bytes(path.read_bytes()[:length])
        with pytest.raises(DamagedTable, match=r"beginning or end is missing|end is damaged or missing"):
            tables.read_table(file)
        if length > size - footer - 8:
            assert tables.read_undamaged(file, SCHEMA)[0]["id"].to_pylist() == [row["id"] for row in ROWS]


@pytest.mark.parametrize("left", [0, 2, 40, 300, -10, -60])
def test_what_is_cut_off_while_it_is_read_is_noticed(path: Path, left: int, monkeypatch: pytest.MonkeyPatch) -> None:
    read, size = checksums._bytes, path.stat().st_size

    def cut_first(*place: Any) -> bytes:
        os.truncate(path, left % size)
        return read(*place)

    with CheckedFile(path):
        pass
    monkeypatch.setattr(checksums, "_bytes", cut_first)
    with pytest.raises(DamagedTable, match=r"rows\.parquet is damaged: "):
        CheckedFile(path)


def test_damage_names_file_column_and_rows(path: Path) -> None:
    file = flipped(path, start_of(path, "score", 1) + 3)
    with pytest.raises(DamagedTable) as caught:
        tables.read_table(file)
    assert str(caught.value) == (
        f"{file} is damaged: score of rows 16 to 31 cannot be read. `imgdiff ledger verify` sets it aside, and the "
        "next run makes again what is lost of it."
    )
    assert [(damage.first, damage.end, damage.column) for damage in caught.value.damages] == [(16, 32, "score")]


def test_only_what_is_read_is_checked(path: Path) -> None:
    """A damaged image does not keep anybody from the scores, nor from the images of other rows."""
    file = flipped(path, start_of(path, "image.bytes", 2) + 30)
    assert tables.read_table(file)["score"].to_pylist() == [row["score"] for row in ROWS]
    images = ImageColumns(["image"])
    assert images.read(CellReference(file, 31)) == {"image": ROWS[31]["image"]}
    with pytest.raises(DamagedTable, match="image of rows 32 to 39 cannot be read"):
        images.read(CellReference(file, 32))
    images.close()


def test_the_pages_have_checksums_of_their_own_for_other_readers(path: Path) -> None:
    assert pq.read_table(path).to_pylist() == ROWS
    end = pq.read_metadata(path).row_group(2).column(2).dictionary_page_offset
    file = flipped(path, end - 3)
    with pytest.raises(OSError, match="CRC checksum verification failed"):
        pq.ParquetFile(file, page_checksum_verification=True).read()


def test_other_tools_read_over_the_checksums(path: Path) -> None:
    import duckdb

    found = duckdb.sql(f"SELECT count(*), sum(score) FROM '{path}'").fetchall()
    assert found == [(40, sum(row["score"] for row in ROWS))]


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """A file of before there were checksums."""
    file = tmp_path / "older.parquet"
    pq.write_table(pa.Table.from_pylist(ROWS, SCHEMA), file, row_group_size=16)
    return file


def test_a_file_of_before_is_read_and_gains_checksums(older: Path) -> None:
    size = older.stat().st_size
    assert tables.read_table(older, images=True).to_pylist() == ROWS
    assert tables.verify(older) is False
    tables.write_again(older)
    assert tables.verify(older) is True
    assert tables.read_table(older, images=True).to_pylist() == ROWS
    assert [pq.read_metadata(older).row_group(group).num_rows for group in range(3)] == [16, 16, 8]
    for place in (4, size // 2, older.stat().st_size - 9):
        with pytest.raises(DamagedTable):
            tables.verify(flipped(older, place))


def test_damage_to_a_file_of_before_is_named_where_it_is_noticed(older: Path) -> None:
    """Its footer may say anything, which is never a traceback of pyarrow's."""
    noticed = 0
    for place in range(0, older.stat().st_size, 13):
        file = flipped(older, place, bit=place % 8)
        try:
            tables.read_table(file, images=True)
        except DamagedTable:
            noticed += 1
    assert noticed > 20


def test_a_table_of_no_rows_has_checksums(tmp_path: Path) -> None:
    tables.write_rows(tmp_path / "none.parquet", [], SCHEMA)
    assert tables.verify(tmp_path / "none.parquet") is True
    assert tables.read_table(tmp_path / "none.parquet", images=True).num_rows == 0


def test_a_record_is_where_it_was(tmp_path: Path) -> None:
    file = tmp_path / "rows.parquet"
    tables.write_table(file, SCHEMA, pa.table({"id": ["a"]}), [None], {"é": 1})
    assert json.loads(tables.read_said(file).record or b"") == {"é": 1}
    assert json.loads(pq.read_schema(file).metadata[tables.RECORD_KEY]) == {"é": 1}


def test_a_pace_is_kept(path: Path) -> None:
    read: list[int] = []
    tables.verify(path, read.append)
    metadata = pq.read_metadata(path)
    assert read == [metadata.row_group(group).total_byte_size for group in range(3)]


def test_an_unreadable_folder_is_no_damage(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        CheckedFile(tmp_path / "missing.parquet")
    os.mkdir(tmp_path / "folder.parquet")
    with pytest.raises(OSError, match="folder") as caught:
        CheckedFile(tmp_path / "folder.parquet")
    assert not isinstance(caught.value, DamagedTable)
