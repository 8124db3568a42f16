"""The ledger: one Parquet table per (asset, shard), replaced by one atomic rename.

`<root>/<asset>/shard=<key>/rows.parquet` is the table; `history.jsonl` beside it has one line per materialisation;
`<root>/.staging/<asset>/<key>/` holds measured batches that are durable but not yet in the table. The ledger knows
nothing of what the columns mean.
"""

import json
import os
import shutil
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from imgdiff_assets.common.errors import ImgDiffError
from resources.loading.file_lock import Say, held

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
"""The Hugging Face `Image` layout: `datasets` decodes such a column without being told."""

RECORD_KEY = b"imgdiff_materialization"
IMAGE_ROWS_PER_GROUP = 16
ROWS_PER_GROUP = 16_384


def is_image(field: pa.Field) -> bool:
    """Whether the column holds encoded images, which are never all in memory at once."""
    return bool(field.type.equals(IMAGE))


@dataclass(frozen=True, slots=True)
class CellReference:
    """A row of a Parquet file whose image columns are read only when they are needed."""

    path: Path
    row: int


class ImageColumns:
    """Reads image cells of Parquet files by row group, keeping one group of each of the latest few files.

    A shard may be measured in more batches than a process may have files open, or a machine memory for.
    """

    KEPT_FILES = 8

    def __init__(self, names: Sequence[str]) -> None:
        self._names = list(names)
        self._files: OrderedDict[Path, _OpenFile] = OrderedDict()

    def read(self, reference: CellReference | None) -> dict[str, Any]:
        """The image cells (`{"bytes", "path"}` or None) of one row; without a reference there are none."""
        if reference is None:
            return dict.fromkeys(self._names)
        return self._open(reference.path).read(reference.row, self._names)

    def read_others(self, path: Path, names: Sequence[str]) -> pa.Table:
        """Other columns of the very file whose images are read, whatever replaces it in the meantime."""
        return self._open(path).file.read(columns=list(names))

    def _open(self, path: Path) -> "_OpenFile":
        if path not in self._files:
            if len(self._files) == self.KEPT_FILES:
                self._files.popitem(last=False)[1].file.close()
            self._files[path] = _OpenFile(pq.ParquetFile(path), 0, 0, {})
        self._files.move_to_end(path)
        return self._files[path]

    def close(self) -> None:
        """Close the files; on some systems an open file cannot be replaced."""
        while self._files:
            self._files.popitem()[1].file.close()


@dataclass(slots=True)
class _OpenFile:
    """A Parquet file and the cells of the row group that was read last: rows `first` to `end`."""

    file: pq.ParquetFile
    first: int
    end: int
    cells: dict[str, list[Any]]

    def read(self, row: int, names: list[str]) -> dict[str, Any]:
        if not self.first <= row < self.end:
            self._load_group(row, names)
        return {name: self.cells[name][row - self.first] for name in names}

    def _load_group(self, row: int, names: list[str]) -> None:
        self.end = 0
        for group in range(self.file.num_row_groups):
            self.first, self.end = self.end, self.end + self.file.metadata.row_group(group).num_rows
            if row < self.end:
                table = self.file.read_row_group(group, columns=names)
                self.cells = {name: table[name].to_pylist() for name in names}
                return
        raise IndexError(f"row {row} of {self.end}")


class Ledger:
    """The tables below one folder. Every write is atomic; a reader never sees half a table."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._next_batch: dict[tuple[Path, str], int] = {}

    def table_path(self, asset: str, shard: str) -> Path:
        return self.root / asset / f"shard={shard}" / "rows.parquet"

    def shards(self, asset: str, among: Iterable[str] | None = None) -> list[str]:
        """The shards (all, or `among` these) that have a table of this asset, in order."""
        if among is not None:
            return sorted(key for key in set(among) if self.exists(asset, key))
        return sorted(
            path.parent.name.removeprefix("shard=") for path in (self.root / asset).glob("shard=*/rows.parquet")
        )

    def exists(self, asset: str, shard: str) -> bool:
        return self.table_path(asset, shard).exists()

    def column_names(self, asset: str, shard: str) -> list[str]:
        """The columns that a table has, which an older version of the code may have written."""
        return list(_footer(self.table_path(asset, shard))[0])

    def read(self, asset: str, shard: str, schema: pa.Schema | None = None, images: bool = False) -> pa.Table:
        """One table, without its image columns unless asked for.

        With `schema`, a column that an older table lacks reads as null and one that is not in it is left out.
        Raises FileNotFoundError, or pyarrow's ArrowInvalid for a file that is not a whole table.
        """
        path = self.table_path(asset, shard)
        # Closed at once: a table that is about to be replaced must not stay open.
        with pq.ParquetFile(path) as file:
            names = [
                field.name
                for field in file.schema_arrow
                if (images or not is_image(field)) and (schema is None or field.name in schema.names)
            ]
            table = file.read(columns=names).replace_schema_metadata(None)
        return table if schema is None else conform(table, schema)

    def record(self, asset: str, shard: str) -> dict[str, Any] | None:
        """The materialisation record in the table's footer; None when there is no whole table, or no record in it."""
        try:
            record = _footer(self.table_path(asset, shard))[1]
        except (pa.ArrowException, OSError):
            return None
        return None if record is None else json.loads(record)

    def history(self, asset: str, shard: str, last: int | None = None) -> list[dict[str, Any]]:
        """The records of all materialisations, or in the `last` lines, oldest first; without lines torn by a kill."""
        path = self.table_path(asset, shard).with_name("history.jsonl")
        if not path.exists():
            return []
        with path.open("rb") as file:
            lines = deque(file, maxlen=last)
        records = []
        for line in lines:
            try:
                records.append(json.loads(line))
            except ValueError:
                continue
        return records

    def commit(
        self,
        asset: str,
        shard: str,
        schema: pa.Schema,
        rows: pa.Table,
        references: Sequence[CellReference | None],
        record: Mapping[str, Any],
    ) -> None:
        """Replace the table by `rows`; a column that they lack is null.

        Image columns that `rows` lack are read from `references`, one per row if any, a row group at a time.
        """
        path = self.table_path(asset, shard)
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
        append_lines(path.with_name("history.jsonl"), [json.dumps(record, sort_keys=True)])
        shutil.rmtree(self.staging(asset, shard), ignore_errors=True)

    def quarantine(self, asset: str, shard: str) -> Path:
        """Move a damaged table aside, so that it is neither read nor lost; returns where it went."""
        path = self.table_path(asset, shard)
        number = len(list(path.parent.glob("rows.parquet.damaged-*")))
        damaged = path.with_name(f"rows.parquet.damaged-{number}")
        path.rename(damaged)
        return damaged

    def staging(self, asset: str, shard: str) -> Path:
        return self.root / ".staging" / asset / shard

    def stage_batch(
        self, asset: str, shard: str, step: str, rows: Sequence[Mapping[str, Any]], schema: pa.Schema
    ) -> Path:
        """Make one measured batch durable; it survives a kill and is found by `staged_batches`."""
        folder = self.staging(asset, shard)
        if (folder, step) not in self._next_batch:
            # After the last one, not by count: a torn batch may have been removed, and none may be overwritten.
            numbers = [int(path.stem.rpartition("-")[2]) for path in folder.glob(f"{step}-*.parquet")]
            self._next_batch[folder, step] = max(numbers, default=-1) + 1
        number = self._next_batch[folder, step]
        path = folder / f"{step}-{number:06d}.parquet"
        with atomic_file(path) as temporary:
            table = pa.Table.from_pylist(list(rows), schema=schema)
            pq.write_table(table, temporary, row_group_size=_rows_per_group(schema))
        self._next_batch[folder, step] = number + 1
        return path

    def staged_batches(self, asset: str, shard: str, step: str) -> list[Path]:
        """The durable batches of one step, oldest first; what a kill left half-written is removed."""
        folder = self.staging(asset, shard)
        # Another process may have added some since this one last did.
        self._next_batch.pop((folder, step), None)
        for leftover in folder.glob("*.tmp"):
            leftover.unlink()
        for leftover in self.table_path(asset, shard).parent.glob("*.tmp"):
            leftover.unlink()
        return sorted(folder.glob(f"{step}-*.parquet"))

    @property
    def locks(self) -> Path:
        return self.root / ".locks"

    def lock(self, asset: str, shard: str, holder: str, on_wait: Say | None = None) -> AbstractContextManager[None]:
        """Hold one (asset, shard); a second run waits, and `on_wait` is told for whom: see `file_lock.held`."""
        return held(self.locks / f"{asset}.{shard}", f"{asset} of {shard}", holder, on_wait)


def conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """`table` with exactly the non-image columns of `schema`; missing ones are null."""
    return _with_columns(table, pa.schema([field for field in schema if not is_image(field)]))


def _footer(path: Path) -> tuple[tuple[str, ...], bytes | None]:
    """The columns of a table and the record in its footer, which is read once as long as the file is the same."""
    status = path.stat()
    return _read_footer(path, (status.st_ino, status.st_mtime_ns, status.st_size))


@lru_cache(maxsize=64)
def _read_footer(path: Path, version: tuple[int, int, int]) -> tuple[tuple[str, ...], bytes | None]:
    schema = pq.read_schema(path)
    return tuple(schema.names), (schema.metadata or {}).get(RECORD_KEY)


def _rows_per_group(schema: pa.Schema) -> int:
    return IMAGE_ROWS_PER_GROUP if any(is_image(field) for field in schema) else ROWS_PER_GROUP


def _with_columns(table: pa.Table, schema: pa.Schema) -> pa.Table:
    columns = [
        table[field.name].cast(field.type)
        if field.name in table.column_names
        else pa.nulls(table.num_rows, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


class NotWritten(ImgDiffError, OSError):
    """A file that could not be written; what was there is unchanged."""


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """A temporary path that becomes `path`, durably, when the block ends; nothing is left when it raises.

    Raises NotWritten when the disk is full or cannot be written.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            _flush(temporary)
            os.replace(temporary, path)
            _flush(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        reason = " ".join(str(error).split())
        raise NotWritten(f"{path}: cannot be written ({reason}); what was there is unchanged.") from error


def append_lines(path: Path, lines: Sequence[str]) -> None:
    """Append lines durably; a last line that a kill tore is ended first, so that it spoils no other.

    For one writer at a time.
    """
    with path.open("ab+") as file:
        size = file.seek(0, os.SEEK_END)
        if size > 0:
            file.seek(size - 1)
            if file.read(1) != b"\n":
                file.write(b"\n")
        file.write("".join(line + "\n" for line in lines).encode("utf-8"))
        file.flush()
        os.fsync(file.fileno())


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
