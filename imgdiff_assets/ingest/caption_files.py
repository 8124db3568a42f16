"""Captions as they lie about: a line each, or a column of a table; every value with where it stands."""

from collections.abc import Iterator
from pathlib import PurePath
from typing import BinaryIO

from imgdiff_assets.ingest.given_files import is_folder
from imgdiff_assets.ingest.given_tables import SUFFIXES as TABLES
from imgdiff_assets.ingest.given_tables import Row, missing, read_file, read_table
from imgdiff_assets.ingest.ingest_report import IngestError
from imgdiff_assets.ingest.text_lines import Unreadable, lines_of
from imgdiff_assets.ledger.store.store import store_of

SUFFIXES = (".txt", *TABLES)
DEFAULT_COLUMN = "caption"


def caption_files(place: PurePath) -> list[PurePath]:
    """The files meant: those below a folder that captions come as, or the file itself. Raises IngestError."""
    if not is_folder(place, SUFFIXES):
        return [place]
    found = [entry.address for entry in store_of(place).below(place) if entry.address.suffix.lower() in SUFFIXES]
    if not found:
        raise IngestError(f"{place}: holds no caption files; captions come as {', '.join(SUFFIXES)}.")
    return found


def read_values(path: PurePath, column: str | None, follow: bool = True) -> Iterator[tuple[int, object]]:
    """(line, value) of every row that is not blank; one that holds no value is Unreadable. Raises IngestError."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise IngestError(f"{path}: unknown kind of file; captions come as {', '.join(SUFFIXES)}.")
    if suffix == ".txt" and column is not None:
        raise IngestError(f"{path}: --column {column} means nothing for a .txt file, which has one caption a line.")
    name = column or DEFAULT_COLUMN
    rows = (
        read_file(path, _lines, follow) if suffix == ".txt" else read_table(path, {name: "--column"}, [name], follow)
    )
    for line, cells in rows:
        if isinstance(cells, Unreadable):
            yield line, cells
        else:
            value = cells.get(name)
            yield line, Unreadable(missing(cells, name)) if value is None else value


def _lines(file: BinaryIO) -> Iterator[Row]:
    for number, line in enumerate(lines_of(file), 1):
        if isinstance(line, Unreadable):
            yield number, line
        elif line.strip():
            yield number, {DEFAULT_COLUMN: line}
