"""One table as a Parquet file: written whole, with its images, its record and its checksums; read without images.

A table may be older than the code: `conform` gives it the columns that are asked for.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from imgdiff_assets.common.aliases import Booleans, Row
from imgdiff_assets.ledger.cells import IMAGE, PLACE, CellReference, ImageColumns, is_image
from imgdiff_assets.ledger.checked_file import CheckedFile
from imgdiff_assets.ledger.checksums import add_checksums
from imgdiff_assets.ledger.store.entry import ANY, Expected
from imgdiff_assets.ledger.store.store import store_of

RECORD_KEY = b"imgdiff_materialization"
IMAGE_ROWS_PER_GROUP = 16
PLACE_ROWS_PER_GROUP = 128
"""Of a table whose images lie in parts: what is lost with damaged bytes is drawn again, which is dear."""

ROWS_PER_GROUP = 16_384

Keep = Callable[[Sequence[Row], Sequence[str]], Sequence[Row]]
"""Takes rows and the names of their image columns, and gives them with places in place of images."""

Pace = Callable[[int], None]
"""Takes bytes that were read, and may wait."""


def at_once(count: int) -> None:
    """No pace."""


@contextmanager
def _writer(
    path: PurePath, schema: pa.Schema, expected: Expected = ANY, shared: bool = False
) -> Iterator[pq.ParquetWriter]:
    """Every Parquet file of a home is written by this, and has checksums when it is there."""
    with store_of(path).writing(path, expected, shared) as temporary:
        with pq.ParquetWriter(temporary, schema, compression="zstd", write_page_checksum=True) as writer:
            yield writer
        add_checksums(temporary)


def with_places(schema: pa.Schema) -> pa.Schema:
    """The schema of a file whose images lie in parts."""
    fields = [pa.field(field.name, PLACE) if is_image(field) else field for field in schema]
    return pa.schema(fields, schema.metadata)


def write_rows(
    path: PurePath,
    rows: Sequence[Mapping[str, Any]],
    schema: pa.Schema,
    expected: Expected = ANY,
    shared: bool = False,
    group_rows: int | None = None,
) -> None:
    """Write rows that are in memory, images too; a column that they lack is null. Raises OSError, Replaced."""
    table = pa.Table.from_pylist(list(rows), schema=schema)
    with _writer(path, schema, expected, shared) as writer:
        writer.write_table(table, row_group_size=group_rows or _rows_per_group(schema))


def write_table(
    path: PurePath,
    schema: pa.Schema,
    rows: pa.Table,
    references: Sequence[CellReference | None],
    record: Mapping[str, Any] | None = None,
    expected: Expected = ANY,
    keep: Keep | None = None,
) -> None:
    """Write `rows` with the record, if any, in the file's footer; a column that they lack is null. Raises OSError.

    Image columns that `rows` lack are read from `references`, one per row if any, a row group at a time; with `keep`,
    the file has their places. Raises DamagedTable where one is damaged, Replaced where something else is there than
    `expected`.
    """
    images = [field.name for field in schema if is_image(field)]
    if keep is not None:
        schema = with_places(schema)
    group_rows = _rows_per_group(schema)
    if record is not None:
        schema = _with_record(schema, record)
    cells = ImageColumns([name for name in images if name not in rows.column_names])
    try:
        with _writer(path, schema, expected) as writer:
            for start in range(0, max(len(rows), 1), group_rows):
                chunk = rows.slice(start, group_rows)
                if images:
                    chunk = _with_images(chunk, references[start : start + group_rows], cells, images, keep)
                writer.write_table(_with_columns(chunk, schema), row_group_size=group_rows)
    finally:
        cells.close()


def _with_images(
    rows: pa.Table,
    references: Sequence[CellReference | None],
    cells: ImageColumns,
    names: Sequence[str],
    keep: Keep | None,
) -> pa.Table:
    """Some rows with their image columns: those that they have, and what the references lead to."""
    made: list[Row] = []
    others = [name for name in rows.column_names if name in names or name.endswith("_hash")]
    # As few at once as there were in a row group of images.
    for start in range(0, len(rows), IMAGE_ROWS_PER_GROUP):
        few = rows.slice(start, IMAGE_ROWS_PER_GROUP)
        some: list[Row] = few.select(others).to_pylist() if others else [{}] * len(few)
        led = references[start : start + IMAGE_ROWS_PER_GROUP]
        if keep is None:
            made += [row | cells.read(reference) for row, reference in zip(some, led, strict=True)] if led else some
        else:
            found = [row | cells.stored(reference) for row, reference in zip(some, led, strict=True)] if led else some
            made += keep(found, names)
    for name in names:
        if any(name in row for row in made):
            column = pa.array([row.get(name) for row in made], IMAGE if keep is None else PLACE)
            rows = rows.drop_columns([name]) if name in rows.column_names else rows
            rows = rows.append_column(name, column)
    return rows


def read_table(path: PurePath, schema: pa.Schema | None = None, images: bool = False) -> pa.Table:
    """The table without its image columns unless asked for.

    With `schema`, a column that an older table lacks reads as null and one that is not in it is left out. Raises
    FileNotFoundError, DamagedTable.
    """
    # Closed at once: a table that is about to be replaced must not stay open.
    with CheckedFile(path) as file:
        table = file.read(_wanted(file, schema, images))
    for number, field in enumerate(table.schema):
        if field.type == PLACE:
            with closing(ImageColumns([field.name])) as cells:
                read = [cells.read(CellReference(path, row))[field.name] for row in range(len(table))]
            table = table.set_column(number, field.name, pa.array(read, IMAGE))
    return table if schema is None else conform(table, schema)


def read_places(path: PurePath) -> pa.Table:
    """The columns of a file that say where images lie; none in a file that has them itself. Raises as `read_table`."""
    with CheckedFile(path) as file:
        return file.read([field.name for field in file.schema if field.type == PLACE])


def parts_named(path: PurePath) -> set[str]:
    """The names of the parts that a file refers to. Raises as `read_table`."""
    columns = read_places(path).itercolumns()
    return {name for column in columns for name in pc.unique(pc.struct_field(column, "part")).to_pylist() if name}


def read_undamaged(
    path: PurePath, schema: pa.Schema, lost_images: Callable[[list[Any]], Booleans] | None = None
) -> tuple[pa.Table, dict[str, Booleans]]:
    """What can be read of a damaged table's non-image columns, null elsewhere; and by column which rows are lost.

    Image columns are among the latter; of the places in them, `lost_images` tells. Raises FileNotFoundError, and
    DamagedTable where nothing can be read.
    """
    with CheckedFile(path, rescue=True) as file:
        names = _wanted(file, schema, images=True)
        count = int(file.bounds[-1])
        lost = {name: np.zeros(count, dtype=bool) for name in names}
        for damage in file.damages(names):
            lost[damage.column][damage.first : damage.end] = True
        if lost_images is not None:
            _add_lost_images(file, names, lost, lost_images)
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


def _add_lost_images(
    file: CheckedFile, names: Sequence[str], lost: Mapping[str, Booleans], lost_images: Callable[[list[Any]], Booleans]
) -> None:
    for field in file.schema:
        if field.name in names and field.type == PLACE:
            for group, first, end in zip(file.groups, file.bounds, file.bounds[1:], strict=False):
                if not lost[field.name][first:end].any():
                    places = file.read([field.name], [group])[field.name].to_pylist()
                    lost[field.name][first:end] = lost_images(places)


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
    columns: Mapping[str, pa.Array] | None = None,
) -> None:
    """Write a file of before as one of today, with checksums; nothing else changes. Raises DamagedTable, OSError.

    With `stays`, only the rows for which it is true; with `record`, another one in the footer; with `columns`, these
    in place of its own. Raises Replaced.
    """
    written = 0
    with CheckedFile(path) as file:
        schema = file.schema if record is None else _with_record(file.schema, record)
        with _writer(path, schema, expected) as writer:
            for group, first, end in zip(file.groups, file.bounds, file.bounds[1:], strict=False):
                rows = file.read(file.names, [group]).replace_schema_metadata(schema.metadata)
                rows = rows if stays is None else rows.filter(pa.array(stays[first:end]))
                for name, values in (columns or {}).items():
                    place = rows.schema.get_field_index(name)
                    rows = rows.set_column(place, rows.field(place), values.slice(written, len(rows)))
                writer.write_table(rows)
                written += len(rows)


def has_images(path: PurePath) -> bool:
    """Whether a file has images itself, as those of before do. Raises as `read_table`."""
    with CheckedFile(path) as file:
        return any(field.type == IMAGE for field in file.schema)


def in_parts(path: PurePath, expected: Expected, keep: Keep) -> None:
    """Write a table of before as one of today, which says where its images lie. Raises as `write_table`."""
    with CheckedFile(path) as file:
        schema = file.schema
        rows = file.read([field.name for field in schema if not is_image(field)])
    record = (schema.metadata or {}).get(RECORD_KEY)
    references = [CellReference(path, row) for row in range(len(rows))]
    known = None if record is None else json.loads(record)
    write_table(path, schema.remove_metadata(), rows, references, known, expected, keep)


def _with_record(schema: pa.Schema, record: Mapping[str, Any]) -> pa.Schema:
    return schema.with_metadata({RECORD_KEY: json.dumps(record, sort_keys=True).encode()})


def conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """`table` with exactly the non-image columns of `schema`; missing ones are null."""
    return _with_columns(table, pa.schema([field for field in schema if not is_image(field)]))


def column_names(path: PurePath) -> list[str]:
    """The columns that a table has. Raises as `read_table` does."""
    with CheckedFile(path) as file:
        return file.names


@dataclass(frozen=True, slots=True)
class Said:
    """What the footer of a table says: the record as JSON, if there is one, and the columns."""

    record: bytes | None
    names: tuple[str, ...]


def read_said(path: PurePath) -> Said:
    """What a table says of itself. Raises as `read_table` does."""
    with CheckedFile(path) as file:
        return Said((file.schema.metadata or {}).get(RECORD_KEY), tuple(file.names))


def _rows_per_group(schema: pa.Schema) -> int:
    """How many rows a group of the file has: what a reader of its images must hold."""
    if any(field.type == IMAGE for field in schema):
        return IMAGE_ROWS_PER_GROUP
    return PLACE_ROWS_PER_GROUP if any(field.type == PLACE for field in schema) else ROWS_PER_GROUP


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
