"""Pictures as they lie about: all those of a folder, or a table with a column of images."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePath

from imgdiff_assets.ingest.given_files import is_folder
from imgdiff_assets.ingest.given_rows import GivenRow, GivenSource
from imgdiff_assets.ingest.given_tables import SUFFIXES
from imgdiff_assets.ingest.ingest_report import IngestError
from imgdiff_assets.ingest.pair_folders import files_below, image_extensions
from imgdiff_assets.ingest.pair_sources import check_table, open_table, refuse_exports

IMAGE, CAPTION = "image", "caption"
FIELDS = (IMAGE, CAPTION)


def open_pictures(source: PurePath, columns: Mapping[str, str], root: PurePath | None = None) -> GivenSource:
    """A folder or a table of pictures, here or in a bucket.

    `columns` maps FIELDS to the names they have in a table. Paths lead into the source's folder or `root`. Raises
    IngestError for a source that cannot be read, as its rows do.
    """
    roots = () if root is None else (root,)
    refuse_exports(source)
    if is_folder(source, SUFFIXES):
        return _open_folder(source, (source, *roots))
    check_table(source, "pictures")
    named = {name: columns.get(name, name) for name in FIELDS}
    return open_table(source, named, [IMAGE], (source.parent, *roots), "--{field}-column")


def _open_folder(folder: PurePath, folders: Sequence[PurePath]) -> GivenSource:
    names, not_looked_at = list[str](), list[str]()
    paths, below = files_below(folder)
    for path in paths:
        if path in below:
            if isinstance(path, Path) and path.is_symlink():
                not_looked_at.append(f"{path}: is a link to a folder, which is not followed")
        elif path.suffix.lower() in image_extensions():
            names.append(path.relative_to(folder).as_posix())
        else:
            not_looked_at.append(f"{path}: {path.suffix or 'a name without a suffix'} is no image that is read")
    if not names:
        raise IngestError(f"{folder}: holds no pictures ({', '.join(sorted(image_extensions()))}).")
    return GivenSource(_rows(folder, names, folders), len(names), not_looked_at)


def _rows(folder: PurePath, names: Sequence[str], folders: Sequence[PurePath]) -> Iterator[GivenRow]:
    for line, name in enumerate(names, 1):
        yield GivenRow(str(folder / name), line, {IMAGE: name}, folders=folders)
