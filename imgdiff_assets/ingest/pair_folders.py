"""Which files of a folder are two images of one pair, by their names or by the folders that they are in."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path, PurePath

from PIL import Image

from imgdiff_assets.ingest.decoding import FORMATS
from imgdiff_assets.ledger.store.store import store_of

NAME_ENDS = (
    ("_0", "_1"),
    ("_source", "_target"),
    ("_before", "_after"),
    ("_left", "_right"),
    ("_a", "_b"),
    ("", "_edited"),
)
"""Ends of file names, without the extension, that make two images of a folder a pair."""

FOLDER_ENDS = (("A", "B"), ("source", "target"), ("before", "after"), ("left", "right"), ("input", "output"))
"""Ends of folders' names that make the images of one name in both of them pairs."""


@dataclass(frozen=True, slots=True, order=True)
class Halves:
    """Two paths that differ in one end alone: `before` it, and what comes `after` it up to the extension."""

    before: str
    after: str
    ends: tuple[str, str]

    @property
    def name(self) -> str:
        return f"{self.before}{self.after}".strip("/")

    def path(self, side: int) -> str:
        """Of one side, without the extension."""
        return f"{self.before}{self.ends[side]}{self.after}"


@dataclass(slots=True)
class PairFolder:
    """The pairs of a folder, whole or not: the files of each side, relative to it; and the files that are none."""

    pairs: dict[Halves, tuple[list[str], list[str]]] = field(default_factory=dict)
    not_looked_at: list[str] = field(default_factory=list)


@cache
def image_extensions() -> frozenset[str]:
    """How the names of files end whose format is read."""
    formats = (*FORMATS, "MPO")  # which Pillow opens as JPEG
    return frozenset(end for end, name in Image.registered_extensions().items() if name in formats)


def find_pairs(folder: PurePath, ends: Sequence[str] | None = None) -> PairFolder:
    """Look through a folder and those below it; `ends` are the only ones of file names and of folders' names."""
    name_ends = NAME_ENDS if ends is None else [(ends[0], ends[1])]
    folder_ends = FOLDER_ENDS if ends is None else name_ends
    found = PairFolder()
    paths, folder_paths = files_below(folder)
    folders = {path.relative_to(folder).as_posix() for path in folder_paths}
    for path in paths:
        name = path.relative_to(folder).as_posix()
        if path in folder_paths:
            if isinstance(path, Path) and path.is_symlink():
                found.not_looked_at.append(f"{path}: is a link to a folder, which is not followed")
        elif path.suffix.lower() not in image_extensions():
            found.not_looked_at.append(f"{path}: {path.suffix or 'a name without a suffix'} is no image that is read")
        else:
            half = _half_by_folder(name, folders, folder_ends) or _half_by_name(name, name_ends)
            if half is None:
                found.not_looked_at.append(f"{path}: its name makes it no half of a pair (see --suffixes)")
            else:
                found.pairs.setdefault(half[0], ([], []))[half[1]].append(name)
    for halves, sides in list(found.pairs.items()):
        # Any name has an empty end.
        alone = next((side for side in (0, 1) if not halves.ends[side] and not sides[1 - side]), None)
        if alone is not None:
            del found.pairs[halves]
            found.not_looked_at += [f"{folder / name}: has no {halves.path(1 - alone)}.*" for name in sides[alone]]
    return found


def files_below(folder: PurePath) -> tuple[Sequence[PurePath], set[PurePath]]:
    """All paths below a folder, in order, and which of them are folders. A bucket has files alone."""
    if isinstance(folder, Path):
        paths = sorted(folder.rglob("*"))
        return paths, {path for path in paths if path.is_dir()}
    files = [entry.address for entry in store_of(folder).below(folder)]
    return files, {above for file in files for above in file.parents[: -len(folder.parts)]}


def _half_by_folder(name: str, folders: set[str], ends: Sequence[tuple[str, str]]) -> tuple[Halves, int] | None:
    """By the outermost folder that has a twin."""
    whole = _without_extension(name)
    for place in (place for place, letter in enumerate(name) if letter == "/"):
        for halves, side in _halves(name[:place], ends):
            if halves.ends[0] and halves.ends[1] and halves.path(1 - side) in folders:
                return Halves(halves.before, whole[place:], halves.ends), side
    return None


def _half_by_name(name: str, ends: Sequence[tuple[str, str]]) -> tuple[Halves, int] | None:
    return next(_halves(_without_extension(name), ends), None)


def _halves(name: str, ends: Sequence[tuple[str, str]]) -> Iterator[tuple[Halves, int]]:
    for pair in ends:
        for side in sorted((0, 1), key=lambda side: -len(pair[side])):
            if name.endswith(pair[side]):
                yield Halves(name.removesuffix(pair[side]), "", pair), side
                break


def _without_extension(name: str) -> str:
    return Path(name).with_suffix("").as_posix()
