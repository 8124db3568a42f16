"""One table as a Parquet file: written whole, with its images, its record and its checksums; read without images.

A table may be older than the code: `conform` gives it the columns that are asked for.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import PurePath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from imgdiff_assets.common.aliases import Booleans
from imgdiff_assets.ledger.cells import IMAGE, CellReference, ImageColumns, is_image
from imgdiff_assets.ledger.checked_file import CheckedFile
from imgdiff_assets.ledger.checksums import add_checksums
from imgdiff_assets.ledger.store.entry import ANY, Expected
from imgdiff_assets.ledger.store.store import store_of

RECORD_KEY = b"imgdiff_materialization"
IMAGE_ROWS_PER_GROUP = 16
ROWS_PER_GROUP = 16_384

Pace = Callable[[int], None]
"""Takes bytes that were read, and may wait."""


def at_once(count: int) -> None:
    """No pace."""


@contextmanager
def _writer(path: PurePath, schema: pa.Schema, expected: Expected = ANY) -> Iterator[pq.ParquetWriter]:
    """Every Parquet file of a home is written by this, and has checksums when it is there."""
    with store_of(path).writing(path, expected) as temporary:
        with pq.ParquetWriter(temporary, schema, compression="zstd", write_page_checksum=True) as writer:
            yield writer
        add_checksums(temporary)


def write_rows(path: PurePath, rows: Sequence[Mapping[str, Any]], schema: pa.Schema, expected: Expected = ANY) -> None:
    """Write rows that are in memory, images too; a column that they lack is null. Raises OSError, Replaced."""
    table = pa.Table.from_pylist(list(rows), schema=schema)
    with _writer(path, schema, expected) as writer:
        writer.write_table(table, row_group_size=_rows_per_group(schema))


def write_table(
    path: PurePath,
    schema: pa.Schema,
    rows: pa.Table,
    references: Sequence[CellReference | None],
    record: Mapping[str, Any] | None = None,
    expected: Expected = ANY,
) -> None:
    """Write `rows` with the record, if any, in the file's footer; a column that they lack is null. Raises OSError.

    Image columns that `rows` lack are read from `references`, one per row if any, a row group at a time. Raises
    DamagedTable where one is damaged, Replaced where something else is there than `expected`.
    """
    group_rows = _rows_per_group(schema)
    names = [field.name for field in schema if is_image(field) and field.name not in rows.column_names]
    images = ImageColumns(names)
    if record is not None:
        schema = _with_record(schema, record)
    try:
        with _writer(path, schema, expected) as writer:
            for start in range(0, max(len(rows), 1), group_rows):
                chunk = rows.slice(start, group_rows)
                cells = [images.read(reference) for reference in references[start : start + group_rows]]
                for name in names if cells else ():
                    chunk = chunk.append_column(name, pa.array([row[name] for row in cells], IMAGE))
                writer.write_table(_with_columns(chunk, schema), row_group_size=group_rows)
    finally:
        images.close()


def read_table(path: PurePath, schema: pa.Schema | None = None, images: bool = False) -> pa.Table:
    """The table without its image columns unless asked for.

    With `schema`, a column that an older table lacks reads as null and one that is not in it is left out. Raises
    FileNotFoundError, DamagedTable.
    """
    # Closed at once: a table that is about to be replaced must not stay open.
    with CheckedFile(path) as file:
        table = file.read(_wanted(file, schema, images))
    return table if schema is None else conform(table, schema)


def read_undamaged(path: PurePath, schema: pa.Schema) -> tuple[pa.Table, dict[str, Booleans]]:
    """What can be read of a damaged table's non-image columns, null elsewhere; and by column which rows are lost.

    Image columns are among the latter. Raises FileNotFoundError, and DamagedTable where nothing can be read.
    """
    with CheckedFile(path, rescue=True) as file:
        names = _wanted(file, schema, images=True)
        count = int(file.bounds[-1])
        lost = {name: np.zeros(count, dtype=bool) for name in names}
        for damage in file.damages(names):
            lost[damage.column][damage.first : damage.end] = True
        columns = {
            field.name: pa.chunked_array(
                [
                    pa.nulls(int(end - first), field.type)
                    if lost[field.name][first:end].any()
                    else file.read([field.name], [group])[field.name].cast(field.type).combine_chunks()
                    for group, first, end in zip(file.groups, file.bounds, file.bounds[1:], strict=False)
                ],
                field.type,
            )
            for field in schema
            if field.name in names and not is_image(field)
        }
    return conform(pa.table(columns), schema), lost


def verify(path: PurePath, pace: Pace = at_once) -> bool:
    """Read a whole file and compare it with its checksums; one without any is decoded. Returns whether there are any.

    `pace(bytes)` is called after each row group. Raises FileNotFoundError, DamagedTable.
    """
    with CheckedFile(path) as file:
        damages = []
        for group in file.groups:
            damages += file.damages(file.names, [group])
            pace(file.group_bytes(group))
        file.refuse(damages)
        return file.has_checksums


def write_again(
    path: PurePath,
    stays: Booleans | None = None,
    record: Mapping[str, Any] | None = None,
    expected: Expected = ANY,
) -> None:
    """Write a file of before as one of today, with checksums; nothing else changes. Raises DamagedTable, OSError.

    With `stays`, only the rows for which it is true; with `record`, another one in the footer. Raises Replaced.
    """
    with CheckedFile(path) as file:
        schema = file.schema if record is None else _with_record(file.schema, record)
        with _writer(path, schema, expected) as writer:
            for group, first, end in zip(file.groups, file.bounds, file.bounds[1:], strict=False):
                rows = file.read(file.names, [group]).replace_schema_metadata(schema.metadata)
                writer.write_table(rows if stays is None else rows.filter(pa.array(stays[first:end])))


def _with_record(schema: pa.Schema, record: Mapping[str, Any]) -> pa.Schema:
    return schema.with_metadata({RECORD_KEY: json.dumps(record, sort_keys=True).encode()})


def conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """`table` with exactly the non-image columns of `schema`; missing ones are null."""
    return _with_columns(table, pa.schema([field for field in schema if not is_image(field)]))


def column_names(path: PurePath) -> list[str]:
    """The columns that a table has. Raises as `read_table` does."""
    with CheckedFile(path) as file:
        return file.names


def read_record(path: PurePath) -> bytes | None:
    """The record in the table's footer as JSON, if there is one. Raises as `read_table` does."""
    with CheckedFile(path) as file:
        return (file.schema.metadata or {}).get(RECORD_KEY)


def _rows_per_group(schema: pa.Schema) -> int:
    """How many rows a group of the file has: what a reader of its images must hold."""
    return IMAGE_ROWS_PER_GROUP if any(is_image(field) for field in schema) else ROWS_PER_GROUP


def _wanted(file: CheckedFile, schema: pa.Schema | None, images: bool) -> list[str]:
    wanted = None if schema is None else set(schema.names)
    return [
        field.name
        for field in file.schema
        if (images or not is_image(field)) and (wanted is None or field.name in wanted)
    ]


def _with_columns(table: pa.Table, schema: pa.Schema) -> pa.Table:
    names = set(table.column_names)
    columns = [
        _as(field.type, table[field.name]) if field.name in names else pa.nulls(table.num_rows, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _as(type_: pa.DataType, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Of that type. Most are already, and a cast that does nothing takes as long as reading the column."""
    return column if column.type == type_ else column.cast(type_)
