"""Captions as they lie about: a line each, or a column of a table; every value with where it stands."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from imgdiff_assets.ingest.ingest_report import IngestError

SUFFIXES = (".txt", ".jsonl", ".csv", ".parquet")
DEFAULT_COLUMN = "caption"
LONGEST_CSV_FIELD = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A line that holds no value, with the reason."""

    reason: str
    text: str

    def __str__(self) -> str:
        return self.text


def read_values(file: Path, column: str | None) -> Iterator[tuple[int, str, object]]:
    """(line, field, value) of every row that is not blank. Raises IngestError."""
    suffix = file.suffix.lower()
    if suffix not in SUFFIXES:
        raise IngestError(f"{file}: unknown kind of file; captions come as {', '.join(SUFFIXES)}.")
    if suffix == ".txt" and column is not None:
        raise IngestError(f"{file}: --column {column} means nothing for a .txt file, which has one caption a line.")
    if suffix == ".parquet":
        return _read_parquet(file, column or DEFAULT_COLUMN)
    text = _text(file)
    if suffix == ".txt":
        return ((line, "caption", value) for line, value in enumerate(text.split("\n"), 1) if value.strip())
    return (_read_jsonl if suffix == ".jsonl" else _read_csv)(file, text, column or DEFAULT_COLUMN)


def _text(file: Path) -> str:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise IngestError(f"{file}: cannot be read: {error.strerror}.") from error
    try:
        # Not by "utf-8-sig", whose errors count bytes from behind the mark.
        return data.decode().removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise IngestError(f"{file}:{line}: is not UTF-8 (byte {error.start}); save the file as UTF-8.") from None


def _no_column(file: Path, column: str, known: Sequence[str]) -> IngestError:
    return IngestError(f"{file}: has no column {column!r}; name one of {', '.join(known) or '(none)'} with --column.")


def _read_jsonl(file: Path, text: str, column: str) -> Iterator[tuple[int, str, object]]:
    found = False
    names: dict[str, None] = {}
    for line, source in enumerate(text.split("\n"), 1):
        if not source.strip():
            continue
        try:
            row = json.loads(source)
        except (ValueError, RecursionError) as error:
            detail = f"{error.msg}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else str(error)
            yield line, column, Unreadable(f"is not JSON ({detail})", source)
            continue
        if not isinstance(row, dict):
            yield line, column, Unreadable("is not a JSON object", source)
            continue
        names.update(dict.fromkeys(row))
        found = found or column in row
        yield line, column, row.get(column)
    if names and not found:
        raise _no_column(file, column, list(names))


def _read_csv(file: Path, text: str, column: str) -> Iterator[tuple[int, str, object]]:
    # With the usual limit, one long field would cost all the others of its file.
    csv.field_size_limit(LONGEST_CSV_FIELD)
    reader = csv.reader(io.StringIO(text), strict=True)
    names: list[str] = []
    line = 1
    try:
        for cells in reader:
            if cells and not names:
                names = cells
                if column not in names:
                    raise _no_column(file, column, names)
            elif cells:
                position = names.index(column)
                yield line, column, cells[position] if position < len(cells) else None
            # A quoted field may go over several lines; the row is where it begins.
            line = reader.line_num + 1
    except csv.Error as error:
        raise IngestError(f"{file}:{line}: is not CSV ({error}).") from None


def _read_parquet(file: Path, column: str) -> Iterator[tuple[int, str, object]]:
    try:
        with pq.ParquetFile(file) as parquet:
            if column not in parquet.schema_arrow.names:
                raise _no_column(file, column, parquet.schema_arrow.names)
            line = 0
            for batch in parquet.iter_batches(columns=[column]):
                for value in batch.column(0).to_pylist():
                    line += 1
                    yield line, column, value
    except (pa.ArrowException, OSError) as error:
        raise IngestError(f"{file}: is not a readable Parquet file ({' '.join(str(error).split())}).") from None
