"""Image pairs as they lie about: a folder with a naming pattern, or a table with two columns of images."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePath
from typing import Any

from imgdiff_assets.common.own_output import MARKER, export_around, is_ours
from imgdiff_assets.ingest.given_files import UnusableFile, is_folder, open_given
from imgdiff_assets.ingest.given_rows import GivenRow, GivenSource, UnusableField
from imgdiff_assets.ingest.given_tables import SUFFIXES, missing, read_table
from imgdiff_assets.ingest.ingest_report import IngestError
from imgdiff_assets.ingest.pair_folders import NAME_ENDS, PairFolder, find_pairs
from imgdiff_assets.ingest.parquet_file import UnreadableParquet, open_parquet
from imgdiff_assets.ingest.text_lines import Unreadable
from imgdiff_assets.ledger.store.store import read_bytes, store_of

IMAGE_FIELDS = ("source_image", "target_image")
TEXT_FIELDS = ("source_caption", "target_caption", "source_object", "target_object")
FIELDS = (*IMAGE_FIELDS, *TEXT_FIELDS)


def open_source(
    source: PurePath, columns: Mapping[str, str], suffixes: Sequence[str] | None = None, root: PurePath | None = None
) -> GivenSource:
    """A folder or a table of pairs, here or in a bucket.

    `columns` maps FIELDS to the names they have in a table. Paths lead into the source's folder or `root`. Raises
    IngestError for a source that cannot be read, as its rows do.
    """
    roots = () if root is None else (root,)
    refuse_exports(source)
    if is_folder(source, SUFFIXES):
        return _open_folder(source, suffixes, roots)
    if suffixes is not None:
        raise IngestError(f"{source}: --suffixes is about the files of a folder.")
    check_table(source, "pairs")
    named = {name: columns.get(name, name) for name in FIELDS}
    return open_table(source, named, IMAGE_FIELDS, (source.parent, *roots))


def check_table(source: PurePath, noun: str) -> None:
    """Raises IngestError for what is no table that is read."""
    if isinstance(source, Path) and not source.exists():
        raise IngestError(f"{source}: there is no such file or folder.")
    if source.suffix.lower() not in SUFFIXES:
        raise IngestError(f"{source}: unknown kind of file; {noun} come as a folder, {', '.join(SUFFIXES)}.")


def open_table(
    source: PurePath,
    columns: Mapping[str, str],
    images: Sequence[str],
    folders: Sequence[PurePath],
    option: str = "--{field}",
) -> GivenSource:
    """The rows of a table: `columns` are the names that fields have in it, `images` the fields that rows must have.

    `option` is what names another column for a field.
    """
    return GivenSource(_table(source, columns, images, folders, option), _row_count(source))


def refuse_exports(source: PurePath) -> None:
    """Raises IngestError for what `imgdiff export` wrote."""
    if (ours := _export_around(source)) is not None:
        which = "it" if ours.parts[-len(source.parts) :] == source.parts else str(ours)
        raise IngestError(
            f"{source}: {which} is an export of imgdiff, whose pairs come from a home, with boxes drawn in: name the "
            "folder of your own pairs."
        )


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


def _open_folder(folder: PurePath, suffixes: Sequence[str] | None, roots: Sequence[PurePath]) -> GivenSource:
    found = find_pairs(folder, suffixes)
    if not found.pairs:
        ends = ", ".join(
            "NAME{}.png and NAME{}.png".format(*pair) for pair in (NAME_ENDS if suffixes is None else [suffixes])
        )
        raise IngestError(
            f"{folder}: holds no pairs; they are named {ends}, or alike in A/ and B/ (or see --suffixes)."
        )
    return GivenSource(_pairs(folder, found, (folder, *roots)), len(found.pairs), found.not_looked_at)


def _pairs(folder: PurePath, found: PairFolder, folders: Sequence[PurePath]) -> Iterator[GivenRow]:
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
        yield GivenRow(str(folder / halves.name), line, values, problem, folders)


def _table(
    file: PurePath, named: Mapping[str, str], images: Sequence[str], folders: Sequence[PurePath], option: str
) -> Iterator[GivenRow]:
    options = {column: option.format(field=name.replace("_", "-")) for name, column in named.items()}
    for line, cells in read_table(file, options, [named[name] for name in images]):
        if isinstance(cells, Unreadable):
            yield GivenRow(str(file), line, problem=UnusableField("line", cells.reason))
            continue
        values = {name: cells.get(column) for name, column in named.items()}
        for name in images:
            if values[name] is None:
                values[name] = Unreadable(missing(cells, named[name]))
        yield GivenRow(str(file), line, values, folders=folders)


def _row_count(file: PurePath) -> int:
    if file.suffix.lower() != ".parquet" or not isinstance(file, Path):  # which would be fetched once more
        return 0
    try:
        with open_given(file) as data, open_parquet(data, ()) as table:
            return table.count
    except (UnusableFile, UnreadableParquet):  # told when its rows are read
        return 0
