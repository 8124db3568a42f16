"""Parquet files of rows with pictures: one per shard and split, of which a row group is in memory."""

import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from imgdiff_assets.export.view import View
from imgdiff_assets.ledger.files import atomic_file

ROW_GROUP_BYTES = 64_000_000
ROW_GROUP_ROWS = 256

Row = dict[str, Any]


def pictures_of(view: View) -> list[dict[str, Any]]:
    """The view's pictures as cells of a column of images."""
    return [{"bytes": picture.encoded(), "path": picture.path.name} for picture in view.pictures]


def write_row_groups(
    folder: Path, shard: str, rows: Iterable[tuple[str, Row]], schema: pa.Schema
) -> Iterator[tuple[str, Row]]:
    """Write `folder`/data/<split>-<shard>.parquet of rows with their split, and yield each when it is taken.

    The column `images` is a list of pictures; of them no more than ROW_GROUP_BYTES and one row's are in memory.
    """
    name = re.sub(r"[^0-9a-z]+", "-", shard)
    with ExitStack() as stack:
        files: dict[str, _RowGroups] = {}
        for split, row in rows:
            if split not in files:
                path = folder / "data" / f"{split}-{name}.parquet"
                temporary = stack.enter_context(atomic_file(path, durable=False))
                files[split] = stack.enter_context(_RowGroups(temporary, schema))
            files[split].add(row)
            yield split, row


class _RowGroups:
    """A file in the making, whose rows are written as soon as there are enough for a group."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._schema, self._writer = schema, pq.ParquetWriter(path, schema)
        self._rows: list[Row] = []
        self._bytes = 0
        # A format may have each picture in a column of its own too.
        self._copies = 1 + any(name.startswith("image_") for name in schema.names)

    def add(self, row: Row) -> None:
        self._rows.append(row)
        self._bytes += self._copies * sum(len(picture["bytes"]) for picture in row["images"])
        if self._bytes >= ROW_GROUP_BYTES or len(self._rows) == ROW_GROUP_ROWS:
            self._write()

    def _write(self) -> None:
        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, self._schema))
        self._rows, self._bytes = [], 0

    def __enter__(self) -> "_RowGroups":
        return self

    def __exit__(self, *_: object) -> None:
        self._write()
        self._writer.close()
