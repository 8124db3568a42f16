"""Image pairs as they lie about: a folder with a naming pattern, or a table with two columns of images."""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import unquote_to_bytes

from imgdiff_assets.common.errors import ImgDiffError
from imgdiff_assets.common.own_output import MARKER, export_around, is_ours
from imgdiff_assets.common.plain_text import shortened
from imgdiff_assets.ingest.given_files import UnusableFile, is_folder, open_given, read_inside
from imgdiff_assets.ingest.given_tables import SUFFIXES, missing, read_table
from imgdiff_assets.ingest.ingest_report import IngestError
from imgdiff_assets.ingest.pair_folders import NAME_ENDS, PairFolder, find_pairs
from imgdiff_assets.ingest.parquet_file import UnreadableParquet, open_parquet
from imgdiff_assets.ingest.photograph import MOST_BYTES
from imgdiff_assets.ingest.text_lines import Unreadable
from imgdiff_assets.ledger.store.store import read_bytes, store_of

IMAGE_FIELDS = ("source_image", "target_image")
TEXT_FIELDS = ("source_caption", "target_caption", "source_object", "target_object")
FIELDS = (*IMAGE_FIELDS, *TEXT_FIELDS)

BASE64 = re.compile(r"[A-Za-z0-9+/\s]{100,}=*\s*")
"""No path looks so: an extension has a dot before it."""


class UnusableField(ImgDiffError, ValueError):
    """A field of a row that cannot be used: its name, and why."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name, self.reason = name, reason


@dataclass(frozen=True, slots=True)
class GivenPair:
    """One row of a source, by `file` and `line` (from 1): the values of its fields, or what is wrong with it.

    Paths are those of files in one of `folders`, and relative to the first.
    """

    file: str
    line: int
    values: Mapping[str, Any] = field(default_factory=dict)
    problem: UnusableField | None = None
    folders: Sequence[PurePath] = ()

    def image(self, name: str) -> bytes:
        """The encoded bytes of an image. Raises UnusableField."""
        value = self.values.get(name)
        if isinstance(value, Mapping):
            value = value.get("bytes") or value.get("path")
        if isinstance(value, bytes):
            return value
        if isinstance(value, Unreadable):
            raise UnusableField(name, value.reason)
        if not isinstance(value, str) or not value:
            raise UnusableField(name, "is missing" if not value else f"is {type(value).__name__}, not an image")
        try:
            return self._bytes_of(value)
        except UnusableFile as error:
            raise UnusableField(name, f"{shortened(value)}: {error}") from None

    def _bytes_of(self, text: str) -> bytes:
        if text.startswith("data:"):
            kind, _, rest = text.partition(",")
            data = unquote_to_bytes(rest)
            return _from_base64(data) if kind.endswith(";base64") else data
        if BASE64.fullmatch(text):
            return _from_base64(text.encode())
        if re.match(r"\w+://", text):
            raise UnusableFile("is an address; pictures are not fetched")
        return read_inside(text, self.folders, MOST_BYTES)


def _from_base64(text: bytes) -> bytes:
    try:
        return base64.b64decode(b"".join(text.split()), validate=True)
    except binascii.Error as error:
        raise UnusableFile(f"is no base64 ({error})") from None


@dataclass(frozen=True, slots=True)
class PairSource:
    """The rows of a source, one at a time; how many there are, 0 where that is not known before; files left alone."""

    pairs: Iterator[GivenPair]
    total: int = 0
    not_looked_at: Sequence[str] = ()


def open_source(
    source: PurePath, columns: Mapping[str, str], suffixes: Sequence[str] | None = None, root: PurePath | None = None
) -> PairSource:
    """A folder or a table of pairs, here or in a bucket.

    `columns` maps FIELDS to the names they have in a table. Paths lead into the source's folder or `root`. Raises
    IngestError for a source that cannot be read, as its rows do.
    """
    roots = () if root is None else (root,)
    if (ours := _export_around(source)) is not None:
        which = "it" if ours.parts[-len(source.parts) :] == source.parts else str(ours)
        raise IngestError(
            f"{source}: {which} is an export of imgdiff, whose pairs come from a home, with boxes drawn in: name the "
            "folder of your own pairs."
        )
    if is_folder(source, SUFFIXES):
        return _open_folder(source, suffixes, roots)
    if suffixes is not None:
        raise IngestError(f"{source}: --suffixes is about the files of a folder.")
    if isinstance(source, Path) and not source.exists():
        raise IngestError(f"{source}: there is no such file or folder.")
    if source.suffix.lower() not in SUFFIXES:
        raise IngestError(f"{source}: unknown kind of file; pairs come as a folder, {', '.join(SUFFIXES)}.")
    return PairSource(_table(source, columns, (source.parent, *roots)), _row_count(source))


def _export_around(source: PurePath) -> PurePath | None:
    """See `export_around`; in a bucket, no further up than one step."""
    if isinstance(source, Path):
        return export_around(source)
    inside = (entry.address for entry in store_of(source).below(source) if entry.address.name == MARKER)
    for marker in (source.parent / MARKER, *inside):
        with suppress(FileNotFoundError):
            if is_ours(read_bytes(marker)):
                return marker.parent
    return None


def _open_folder(folder: PurePath, suffixes: Sequence[str] | None, roots: Sequence[PurePath]) -> PairSource:
    found = find_pairs(folder, suffixes)
    if not found.pairs:
        ends = ", ".join(
            "NAME{}.png and NAME{}.png".format(*pair) for pair in (NAME_ENDS if suffixes is None else [suffixes])
        )
        raise IngestError(
            f"{folder}: holds no pairs; they are named {ends}, or alike in A/ and B/ (or see --suffixes)."
        )
    return PairSource(_pairs(folder, found, (folder, *roots)), len(found.pairs), found.not_looked_at)


def _pairs(folder: PurePath, found: PairFolder, folders: Sequence[PurePath]) -> Iterator[GivenPair]:
    for line, (halves, sides) in enumerate(sorted(found.pairs.items(), key=lambda each: (each[0].name, each[0])), 1):
        values: dict[str, Any] = {}
        problem = None
        for side, name in enumerate(IMAGE_FIELDS):
            paths = sides[side]
            if len(paths) == 1:
                values[name] = paths[0]
            elif problem is None:
                reason = f"there is no {halves.path(side)}.*"
                if paths:
                    reason = f"is one of {', '.join(Path(path).name for path in paths)}; which, is not known"
                problem = UnusableField(name, reason)
        yield GivenPair(str(folder / halves.name), line, values, problem, folders)


def _table(file: PurePath, columns: Mapping[str, str], folders: Sequence[PurePath]) -> Iterator[GivenPair]:
    named = {name: columns.get(name, name) for name in FIELDS}
    options = {column: f"--{name.replace('_', '-')}" for name, column in named.items()}
    for line, cells in read_table(file, options, [named[name] for name in IMAGE_FIELDS]):
        if isinstance(cells, Unreadable):
            yield GivenPair(str(file), line, problem=UnusableField("line", cells.reason))
            continue
        values = {name: cells.get(column) for name, column in named.items()}
        for name in IMAGE_FIELDS:
            if values[name] is None:
                values[name] = Unreadable(missing(cells, named[name]))
        yield GivenPair(str(file), line, values, folders=folders)


def _row_count(file: PurePath) -> int:
    if file.suffix.lower() != ".parquet" or not isinstance(file, Path):  # which would be fetched once more
        return 0
    try:
        with open_given(file) as data, open_parquet(data, ()) as table:
            return table.count
    except (UnusableFile, UnreadableParquet):  # told when its rows are read
        return 0
