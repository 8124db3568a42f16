"""Image pairs as they lie about: a folder with a naming pattern, or a table with two columns of images."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from imgdiff_assets.common.errors import ImgDiffError
from imgdiff_assets.ingest.ingest_report import IngestError

IMAGE_FIELDS = ("source_image", "target_image")
TEXT_FIELDS = ("source_caption", "target_caption", "source_object", "target_object")
FIELDS = (*IMAGE_FIELDS, *TEXT_FIELDS)
SUFFIXES = (
    ("_0", "_1"),
    ("_source", "_target"),
    ("_before", "_after"),
    ("_left", "_right"),
    ("_a", "_b"),
)
"""Ends of file names, without the extension, that make two images of a folder a pair."""

IMAGE_EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".ppm", ".mpo")


class UnusableField(ImgDiffError, ValueError):
    """A field of a row that cannot be used: its name, and why."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name, self.reason = name, reason


@dataclass(frozen=True, slots=True)
class GivenPair:
    """One row of a source, by `file` and `line` (from 1): the values of its fields, or what is wrong with it."""

    file: str
    line: int
    values: Mapping[str, Any] = field(default_factory=dict)
    problem: UnusableField | None = None
    base: Path = Path()

    def image(self, name: str) -> bytes:
        """The encoded bytes of an image. Raises UnusableField."""
        value = self.values.get(name)
        if isinstance(value, Mapping):
            value = value.get("bytes") or value.get("path")
        if isinstance(value, bytes):
            return value
        if not isinstance(value, str) or not value:
            raise UnusableField(name, "is missing" if not value else f"is {type(value).__name__}, not an image")
        path = self.base / Path(value).expanduser()
        try:
            return path.read_bytes()
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise UnusableField(name, f"{path}: cannot be read: {reason}") from None


def count_pairs(source: Path, suffixes: Sequence[str] | None) -> int:
    """How many rows `read_pairs` will give, for a progress bar; 0 where it is not known before."""
    if source.is_dir():
        return len(_stems(source, _known_suffixes(suffixes)))
    if source.suffix.lower() == ".parquet":
        try:
            return int(pq.read_metadata(source).num_rows)
        except (pa.ArrowException, OSError):
            return 0
    return 0


def read_pairs(source: Path, columns: Mapping[str, str], suffixes: Sequence[str] | None = None) -> Iterator[GivenPair]:
    """The rows of a folder, a .jsonl or a .parquet file, one at a time.

    `columns` maps FIELDS to the names they have in a table. Raises IngestError for a source that cannot be read.
    """
    if source.is_dir():
        return _read_folder(source, suffixes)
    if suffixes is not None:
        raise IngestError(f"{source}: --suffixes is about the files of a folder.")
    if source.suffix.lower() == ".jsonl":
        return _read_jsonl(source, columns)
    if source.suffix.lower() == ".parquet":
        return _read_parquet(source, columns)
    if not source.exists():
        raise IngestError(f"{source}: there is no such file or folder.")
    raise IngestError(f"{source}: unknown kind of file; pairs come as a folder, .jsonl or .parquet.")


def _known_suffixes(suffixes: Sequence[str] | None) -> Sequence[Sequence[str]]:
    return SUFFIXES if suffixes is None else [suffixes]


def _stems(folder: Path, suffixes: Sequence[Sequence[str]]) -> dict[tuple[str, int], dict[int, list[Path]]]:
    """By common part of the name and number of the suffix pair: the files of each side."""
    found: dict[tuple[str, int], dict[int, list[Path]]] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in IMAGE_EXTENSIONS:
            continue
        name = path.relative_to(folder).with_suffix("").as_posix()
        for number, ends in enumerate(suffixes):
            side = next((side for side, end in enumerate(ends) if name.endswith(end)), None)
            if side is not None:
                key = (name.removesuffix(ends[side]), number)
                found.setdefault(key, {}).setdefault(side, []).append(path)
                break
    return found


def _read_folder(folder: Path, suffixes: Sequence[str] | None) -> Iterator[GivenPair]:
    known = _known_suffixes(suffixes)
    found = _stems(folder, known)
    if not found:
        ends = ", ".join("NAME{}.png and NAME{}.png".format(*pair) for pair in known)
        raise IngestError(f"{folder}: holds no pairs; they are named {ends} (or see --suffixes).")
    for line, ((name, number), sides) in enumerate(sorted(found.items()), 1):
        values: dict[str, Any] = {}
        problem = None
        for side, field_name in enumerate(IMAGE_FIELDS):
            paths = sides.get(side, [])
            if len(paths) == 1:
                values[field_name] = str(paths[0].relative_to(folder))
            elif problem is None:
                reason = f"there is no {name}{known[number][side]}.*"
                if paths:
                    reason = f"is one of {', '.join(path.name for path in paths)}; which, is not known"
                problem = UnusableField(field_name, reason)
        yield GivenPair(str(folder / name), line, values, problem, folder)


def _read_jsonl(file: Path, columns: Mapping[str, str]) -> Iterator[GivenPair]:
    try:
        with file.open("rb") as lines:
            for line, data in enumerate(lines, 1):
                if not data.strip():
                    continue
                try:
                    row = json.loads(data)
                except (ValueError, RecursionError) as error:
                    yield GivenPair(str(file), line, problem=UnusableField("line", f"is not JSON ({error})"))
                    continue
                if not isinstance(row, dict):
                    yield GivenPair(str(file), line, problem=UnusableField("line", "is not a JSON object"))
                    continue
                values = {name: row.get(columns.get(name, name)) for name in FIELDS}
                yield GivenPair(str(file), line, values, base=file.parent)
    except OSError as error:
        raise IngestError(f"{file}: cannot be read: {error.strerror}.") from error


def _read_parquet(file: Path, columns: Mapping[str, str]) -> Iterator[GivenPair]:
    names = {name: columns.get(name, name) for name in FIELDS}
    try:
        with pq.ParquetFile(file) as parquet:
            known = parquet.schema_arrow.names
            for name in IMAGE_FIELDS:
                if names[name] not in known:
                    option = name.replace("_", "-")
                    raise IngestError(
                        f"{file}: has no column {names[name]!r}; name one of {', '.join(known)} with --{option}."
                    )
            present = {name: column for name, column in names.items() if column in known}
            line = 0
            # A few rows at a time: images are large.
            for batch in parquet.iter_batches(batch_size=8, columns=list(dict.fromkeys(present.values()))):
                for row in batch.to_pylist():
                    line += 1
                    values = {name: row[column] for name, column in present.items()}
                    yield GivenPair(str(file), line, values, base=file.parent)
    except (pa.ArrowException, OSError) as error:
        raise IngestError(f"{file}: is not a readable Parquet file ({' '.join(str(error).split())}).") from None
