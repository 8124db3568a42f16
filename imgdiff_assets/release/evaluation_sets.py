"""The pictures and texts of evaluation sets, wherever they lie: folders of files, or the cache of Hugging Face."""

import csv
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from imgdiff_assets.common.errors import ImgDiffError

PICTURES = frozenset([".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif", ".jp2", ".ppm"])
ROWS_AT_ONCE = 256
LONGEST_CELL = 1_000_000


class NothingToCompare(ImgDiffError, ValueError):
    """A place with neither pictures nor texts."""


@dataclass(frozen=True, slots=True)
class Found:
    """A picture's encoded bytes or a text, and where it stands: the file, and the row and column within it."""

    where: str
    value: bytes | str


@dataclass(frozen=True, slots=True)
class Unread:
    """A file that should hold pictures or texts and cannot be read, and why."""

    where: str
    why: str


def read_set(folder: Path) -> Iterator[Found | Unread]:
    """All pictures and texts below a folder; links are followed, as the Hugging Face cache is made of them.

    Raises NothingToCompare where there is no such folder.
    """
    if not folder.is_dir():
        raise NothingToCompare(f"{folder}: there is no such folder to compare with.")
    for file in sorted(folder.rglob("*")):
        reader = READERS.get(file.suffix.lower())
        if reader is None or not file.is_file():
            continue
        name = file.relative_to(folder).as_posix()
        try:
            for place, value in reader(file):
                yield Found(f"{name}{place}", value)
        except (OSError, ValueError, pa.ArrowException, csv.Error) as error:
            yield Unread(name, str(error) or type(error).__name__)


def _picture(file: Path) -> Iterator[tuple[str, bytes | str]]:
    yield "", file.read_bytes()


def _lines(file: Path) -> Iterator[tuple[str, bytes | str]]:
    with file.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            yield f":{number}", line


def _json(file: Path) -> Iterator[tuple[str, bytes | str]]:
    yield from _values("", json.loads(file.read_text(encoding="utf-8")))


def _json_lines(file: Path) -> Iterator[tuple[str, bytes | str]]:
    for place, line in _lines(file):
        if str(line).strip():
            yield from _values(place, json.loads(line))


def _table(file: Path) -> Iterator[tuple[str, bytes | str]]:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    with file.open(encoding="utf-8", errors="replace", newline="") as lines:
        rows = csv.reader(lines, delimiter="\t" if file.suffix.lower() == ".tsv" else ",")
        for number, row in enumerate(rows, 1):
            for cell in row:
                yield f":{number}", cell


def _parquet(file: Path) -> Iterator[tuple[str, bytes | str]]:
    with pq.ParquetFile(file) as table:
        yield from _batches(table.iter_batches(batch_size=ROWS_AT_ONCE))


def _arrow(file: Path) -> Iterator[tuple[str, bytes | str]]:
    """A stream, as `datasets` keeps what it has loaded, or a file."""
    with pa.memory_map(str(file)) as source:
        try:
            yield from _batches(iter(pa.ipc.open_stream(source)))
        except pa.ArrowInvalid:
            source.seek(0)
            reader = pa.ipc.open_file(source)
            yield from _batches(reader.get_batch(number) for number in range(reader.num_record_batches))


def _batches(batches: Iterator[pa.RecordBatch]) -> Iterator[tuple[str, bytes | str]]:
    first = 0
    for batch in batches:
        for number, row in enumerate(batch.to_pylist(), first):
            yield from _values(f":{number}", row)
        first += batch.num_rows


def _values(place: str, value: Any) -> Iterator[tuple[str, bytes | str]]:
    """The strings and bytes in a value of any shape; each after its place in it."""
    if isinstance(value, bytes) or (isinstance(value, str) and len(value) <= LONGEST_CELL):
        yield place, value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _values(f"{place}.{name}", inner)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _values(f"{place}[{number}]", inner)


READERS = {
    **dict.fromkeys(PICTURES, _picture),
    ".txt": _lines,
    ".json": _json,
    ".jsonl": _json_lines,
    ".csv": _table,
    ".tsv": _table,
    ".parquet": _parquet,
    ".arrow": _arrow,
}
