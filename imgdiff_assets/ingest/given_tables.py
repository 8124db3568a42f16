"""Tables as people have them, of captions and of pairs: every row with its number, and what is wrong with it."""

import csv
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import PurePath
from typing import Any, BinaryIO

import pyarrow as pa

from imgdiff_assets.common.errors import ImgDiffError
from imgdiff_assets.common.plain_text import listed, shortened
from imgdiff_assets.ingest.given_files import UnusableFile, open_given
from imgdiff_assets.ingest.ingest_report import IngestError
from imgdiff_assets.ingest.json_elements import elements
from imgdiff_assets.ingest.parquet_file import open_parquet
from imgdiff_assets.ingest.text_lines import LONGEST_LINE, NotUtf8, Unreadable, lines_of, text_of
from imgdiff_assets.ledger.store.entry import StoreError

SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".parquet")
ANNOTATIONS = "annotations"
"""The list of COCO's JSON whose elements are rows."""

Cells = Mapping[str, Any]
Row = tuple[int, Cells | Unreadable]
"""Its number (its line in a text file, from 1; elsewhere its place) and its cells by column, some maybe Unreadable."""

KEPT_BYTES = 200
LISTED_NAMES = 12
MOST_NAMES = 1_000


def read_file(path: PurePath, rows: Callable[[BinaryIO], Iterator[Row]], follow: bool = True) -> Iterator[Row]:
    """The rows that a function reads from a regular file: whatever is raised on the way is the file's fault.

    With `follow`, the file may be a link. Raises IngestError.
    """
    try:
        with open_given(path, follow) as file:
            yield from rows(file)
    except (IngestError, UnusableFile) as error:
        raise IngestError(f"{path}: {str(error).rstrip('.')}.") from None
    except NotUtf8 as error:
        line, place = error.args[0]
        raise IngestError(f"{path}:{line}: is not UTF-8 (byte {place}); save the file as UTF-8.") from None
    except NotCsv as error:
        raise IngestError(f"{path}:{error.args[0]}: is not CSV ({error.args[1]}).") from None
    except StoreError as error:  # which names the file, and of which the file is not guilty
        raise IngestError(str(error)) from None
    except Exception as error:
        kind = {".parquet": "a readable Parquet file", ".json": "JSON"}.get(path.suffix.lower(), "readable")
        raise IngestError(f"{path}: is not {kind} ({shortened(' '.join(str(error).split()))}).") from None


def read_table(
    path: PurePath, wanted: Mapping[str, str], needed: Collection[str], follow: bool = True
) -> Iterator[Row]:
    """The rows of a table, one at a time.

    `wanted` are its columns that are read at least, each with the option that names another; `needed` are those of
    them that some row must have. Raises IngestError.
    """
    read = {".jsonl": _jsonl, ".json": _json, ".csv": _csv, ".tsv": _tsv, ".parquet": _parquet}[path.suffix.lower()]
    return read_file(path, lambda file: read(file, _Columns(wanted, needed)), follow)


def missing(cells: Cells, column: str) -> str:
    """Why there is no value in a column of a row, with the columns that there are."""
    return "is missing" if column in cells else f"is missing; the row has {_names(list(cells))}"


def _names(names: Sequence[str]) -> str:
    return ", ".join(listed([shortened(name, 40) for name in names], LISTED_NAMES)) or "(none)"


class NotCsv(ImgDiffError, ValueError):
    """Raised with the line where a row begins that is not CSV, and why."""


class _Columns:
    """The columns that are asked for, beside those that a table turns out to have."""

    def __init__(self, wanted: Mapping[str, str], needed: Collection[str]) -> None:
        self.wanted, self._needed = wanted, needed
        self._seen: dict[str, None] = {}

    def see(self, names: Iterable[str]) -> None:
        # Of rows that have each their own, the first; and those that are needed.
        room = MOST_NAMES - len(self._seen)
        self._seen.update(dict.fromkeys(name for name in names if room > 0 or name in self._needed))

    def check(self) -> None:
        """Raises IngestError for a needed column that was nowhere seen, though others were."""
        for column in self._needed:
            if self._seen and column not in self._seen:
                names = _names(list(self._seen))
                raise IngestError(f"has no column {column!r}; name one of {names} with {self.wanted[column]}.")


def _objects(numbered: Iterable[tuple[int, Any]], columns: _Columns) -> Iterator[Row]:
    for number, value in numbered:
        if isinstance(value, Unreadable):
            yield number, value
        elif isinstance(value, dict):
            columns.see(value)
            yield number, value
        else:
            yield number, Unreadable("is not a JSON object", shortened(str(value)))
    columns.check()


def _jsonl(file: BinaryIO, columns: _Columns) -> Iterator[Row]:
    return _objects(
        ((line, _parsed(text)) for line, text in enumerate(lines_of(file), 1) if str(text).strip()), columns
    )


def _parsed(line: str | Unreadable) -> Any:
    if isinstance(line, Unreadable):
        return line
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        detail = f"{error.msg}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else str(error)
        return Unreadable(f"is not JSON ({detail})", shortened(line))


def _json(file: BinaryIO, columns: _Columns) -> Iterator[Row]:
    lists: dict[str, None] = {}

    def rows() -> Iterator[Any]:
        with text_of(file) as text:
            for name, element in elements(text):
                lists[name] = None
                if name in ("", ANNOTATIONS):
                    yield element

    yield from _objects(enumerate(rows(), 1), columns)
    if lists and not {"", ANNOTATIONS} & lists.keys():
        raise IngestError(
            f"has no list {ANNOTATIONS!r}, whose elements are rows; its lists are {_names(list(lists))}."
        )


def _csv(file: BinaryIO, columns: _Columns) -> Iterator[Row]:
    # With the usual limit, one long field would cost all the others of its file.
    csv.field_size_limit(LONGEST_LINE)
    reader = csv.reader((f"{line}\n" for line in _whole(lines_of(file))), strict=True)
    line = 1

    def numbered() -> Iterator[tuple[int, list[str]]]:
        nonlocal line
        for cells in reader:
            yield line, cells
            # A quoted field may go over several lines; the row is where it begins.
            line = reader.line_num + 1

    try:
        yield from _with_header(numbered(), columns)
    except csv.Error as error:
        raise NotCsv(line, error) from None


def _tsv(file: BinaryIO, columns: _Columns) -> Iterator[Row]:
    # A quotation mark is a letter of its field, but where it encloses all of it.
    lines = enumerate(_whole(lines_of(file)), 1)
    return _with_header(
        ((line, [_unquoted(cell) for cell in text.split("\t")]) for line, text in lines if text), columns
    )


def _unquoted(cell: str) -> str:
    enclosed = len(cell) > 1 and cell[0] == cell[-1] == '"'
    inside = cell[1:-1]
    return inside.replace('""', '"') if enclosed and '"' not in inside.replace('""', "") else cell


def _whole(lines: Iterable[str | Unreadable]) -> Iterator[str]:
    for line in lines:
        if isinstance(line, Unreadable):
            raise IngestError(f"{line.reason.removeprefix('is ')} is in it.")
        yield line


def _with_header(rows: Iterable[tuple[int, list[str]]], columns: _Columns) -> Iterator[Row]:
    names: list[str] = []
    for line, cells in rows:
        if cells and not names:
            names = cells
            columns.see(names)
            columns.check()
        elif cells:
            # Of two columns of one name, the first.
            yield line, dict(reversed([*zip_longest(names, cells[: len(names)])]))


def _parquet(file: BinaryIO, columns: _Columns) -> Iterator[Row]:
    with open_parquet(file, list(columns.wanted)) as table:
        columns.see(table.names)
        columns.check()
        number = 0
        for batch in table.batches:
            # One row after the other: where a column has each of its values once, they are not copied for all rows.
            for cells in zip(*(map(_value, column) for column in batch.columns), strict=True):
                number += 1
                yield number, dict(zip(batch.schema.names, cells, strict=True))


def _value(cell: pa.Scalar) -> Any:
    try:
        return cell.as_py()
    except UnicodeDecodeError as error:
        return Unreadable(f"is not UTF-8 (byte {error.start})", error.object[:KEPT_BYTES].decode("utf-8", "replace"))
