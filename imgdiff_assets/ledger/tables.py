"""One table as a Parquet file: written whole, with its images and its record; read without them.

A table may be older than the code: `conform` gives it the columns that are asked for.
"""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from imgdiff_assets.ledger.cells import IMAGE, CellReference, ImageColumns, is_image
from imgdiff_assets.ledger.files import atomic_file

RECORD_KEY = b"imgdiff_materialization"
IMAGE_ROWS_PER_GROUP = 16
ROWS_PER_GROUP = 16_384


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> None:
    """Write rows that are in memory, images too; a column that they lack is null. Raises OSError."""
    table = pa.Table.from_pylist(list(rows), schema=schema)
    with atomic_file(path) as temporary:
        pq.write_table(table, temporary, row_group_size=_rows_per_group(schema))


def write_table(
    path: Path,
    schema: pa.Schema,
    rows: pa.Table,
    references: Sequence[CellReference | None],
    record: Mapping[str, Any],
) -> None:
    """Write `rows` with the record in the file's footer; a column that they lack is null. Raises OSError.

    Image columns that `rows` lack are read from `references`, one per row if any, a row group at a time.
    """
    group_rows = _rows_per_group(schema)
    names = [field.name for field in schema if is_image(field) and field.name not in rows.column_names]
    images = ImageColumns(names)
    schema = schema.with_metadata({RECORD_KEY: json.dumps(record, sort_keys=True).encode()})
    try:
        with atomic_file(path) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
            for start in range(0, max(len(rows), 1), group_rows):
                chunk = rows.slice(start, group_rows)
                cells = [images.read(reference) for reference in references[start : start + group_rows]]
                for name in names if cells else ():
                    chunk = chunk.append_column(name, pa.array([row[name] for row in cells], IMAGE))
                writer.write_table(_with_columns(chunk, schema), row_group_size=group_rows)
    finally:
        images.close()


def read_table(path: Path, schema: pa.Schema | None = None, images: bool = False) -> pa.Table:
    """The table without its image columns unless asked for.

    With `schema`, a column that an older table lacks reads as null and one that is not in it is left out. Raises
    FileNotFoundError, or pyarrow's ArrowInvalid for a file that is not a whole table.
    """
    # Closed at once: a table that is about to be replaced must not stay open.
    with pq.ParquetFile(path) as file:
        names = [
            field.name
            for field in file.schema_arrow
            if (images or not is_image(field)) and (schema is None or field.name in schema.names)
        ]
        table = file.read(columns=names).replace_schema_metadata(None)
    return table if schema is None else conform(table, schema)


def conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """`table` with exactly the non-image columns of `schema`; missing ones are null."""
    return _with_columns(table, pa.schema([field for field in schema if not is_image(field)]))


def column_names(path: Path) -> list[str]:
    """The columns that a table has. Raises as `read_table` does."""
    return list(_footer(path)[0])


def read_record(path: Path) -> dict[str, Any] | None:
    """The record in the table's footer, if there is one. Raises as `read_table` does."""
    record = _footer(path)[1]
    return None if record is None else json.loads(record)


def _rows_per_group(schema: pa.Schema) -> int:
    """How many rows a group of the file has: what a reader of its images must hold."""
    return IMAGE_ROWS_PER_GROUP if any(is_image(field) for field in schema) else ROWS_PER_GROUP


def _footer(path: Path) -> tuple[tuple[str, ...], bytes | None]:
    """The columns of a table and the record in its footer, which is read once as long as the file is the same."""
    status = path.stat()
    return _read_footer(path, (status.st_ino, status.st_mtime_ns, status.st_size))


@lru_cache(maxsize=64)
def _read_footer(path: Path, version: tuple[int, int, int]) -> tuple[tuple[str, ...], bytes | None]:
    schema = pq.read_schema(path)
    return tuple(schema.names), (schema.metadata or {}).get(RECORD_KEY)


def _with_columns(table: pa.Table, schema: pa.Schema) -> pa.Table:
    columns = [
        table[field.name].cast(field.type)
        if field.name in table.column_names
        else pa.nulls(table.num_rows, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)
