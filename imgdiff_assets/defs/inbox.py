"""Caption files that are dropped into `<home>/inbox/` become shards; each is then moved to `done/` or `failed/`.

A file is taken when it is finished: it has stood still for a while, or since the look before. Who writes slowly writes
under another name (`captions.txt.part`) and renames. Captions are known by their content, so a file that a killed
ingestion left behind is taken again without anything getting in twice.
"""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from imgdiff_assets.common.plain_text import counted
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.caption_files import SUFFIXES
from imgdiff_assets.ingest.ingest_captions import ingest
from imgdiff_assets.ingest.shards import read_captions, shard_keys
from imgdiff_assets.ledger.files import atomic_file, with_ending
from imgdiff_assets.statistics.diversity import filled_so_far

UNFINISHED = (".part", ".partial", ".tmp", ".crdownload", ".filepart", ".swp")
DONE, FAILED = "done", "failed"

Seen = Mapping[str, tuple[int, int]]
"""Size and modification time (ns) by file name, of the look before."""


@dataclass(slots=True)
class InboxReport:
    """What a look into the inbox did: shards made, what became of each file, and which files to look at again."""

    shards: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    waiting: dict[str, tuple[int, int]] = field(default_factory=dict)


def take_files(
    home: Home, seen: Seen, settle_seconds: float, shard_size: int, fill_gaps: bool = False, patience: float = 30.0
) -> InboxReport:
    """Ingest the finished files of the inbox, oldest first; after `patience` seconds the rest waits for another.

    With `fill_gaps` each caption is noted with the replacements made so far. Raises PermissionError when the home
    cannot be written, DamagedTable when those replacements cannot be read.
    """
    home.create()
    report = InboxReport()
    started = time.monotonic()
    for path, size, modified in _files(home):
        still = seen.get(path.name) == (size, modified) or time.time() - modified / 1e9 >= settle_seconds
        if still and time.monotonic() - started < patience:
            report.lines.append(_take(home, path, shard_size, fill_gaps, report))
        else:
            report.waiting[path.name] = (size, modified)
    return report


def inbox_shards(home: Home, after: str) -> list[str]:
    """The shards later than `after` that came out of the inbox."""
    folder = f"{home.inbox}{os.sep}"
    keys = [key for key in shard_keys(home) if key > after]
    return [key for key in keys if str(read_captions(home, key)["source"][0].as_py()).startswith(folder)]


def _files(home: Home) -> list[tuple[Path, int, int]]:
    """The files that are not hidden and not under way, by age."""
    files = []
    for path in home.inbox.iterdir():
        if path.name.startswith(".") or path.name.lower().endswith(UNFINISHED):
            continue
        try:
            status = path.stat()
        except FileNotFoundError:
            continue  # renamed or taken away since
        if path.is_file():
            files.append((path, status.st_size, status.st_mtime_ns))
    return sorted(files, key=lambda entry: (entry[2], entry[0].name))


def _take(home: Home, path: Path, shard_size: int, fill_gaps: bool, report: InboxReport) -> str:
    """Ingest one file and move it aside; returns what became of it."""
    result = ingest([path], home, shard_size=shard_size, filled=filled_so_far(home) if fill_gaps else None)
    report.shards += result.shards
    rejected = [str(rejection) for rejection in result.rejected]
    if result.files_failed or not (result.accepted or result.duplicates):
        reasons = result.files_failed or rejected
        aside = _move(path, home.inbox / FAILED)
        with atomic_file(with_ending(aside, ".error.txt")) as note:
            note.write_text("\n".join([*reasons, f"Captions come as {', '.join(SUFFIXES)}."]) + "\n", encoding="utf-8")
        return f"{path.name}: moved to {aside.relative_to(home.root)}: {reasons[0]}"
    aside = _move(path, home.inbox / DONE)
    if rejected:
        with atomic_file(with_ending(aside, ".rejected.txt")) as note:
            note.write_text("\n".join(rejected) + "\n", encoding="utf-8")
    taken = counted(result.accepted, "new caption")
    return f"{path.name}: {taken}, {result.duplicates:,} known already, {len(rejected):,} rejected"


def _move(path: Path, folder: Path) -> Path:
    """Move a file into a folder, under a new name where another one has its own."""
    folder.mkdir(exist_ok=True)
    target, number = folder / path.name, 1
    while target.exists():
        target, number = with_ending(folder / path.stem, f".{number}{path.suffix}"), number + 1
    path.rename(target)
    return target
