"""Caption files that are dropped into `<home>/inbox/` become shards; each is then moved to `done/` or `failed/`.

A file is taken when it is finished: it has stood still for a while, or since the look before. Who writes slowly writes
under another name (`captions.txt.part`) and renames. A large file is taken over several looks, each of which goes on
where the last one stopped. Captions are known by their content, so what a killed ingestion left behind is taken again
without anything getting in twice. Links are not followed: whoever may drop a file may not read every other.
"""

import json
import os
import stat
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pydantic import TypeAdapter

from imgdiff_assets.common.plain_text import counted, shortened
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.caption_files import SUFFIXES
from imgdiff_assets.ingest.ingest_captions import ingest_in_part
from imgdiff_assets.ingest.ingest_report import REPORTED, storable
from imgdiff_assets.ingest.shards import read_captions, shard_keys
from imgdiff_assets.ledger.files import atomic_file, with_ending
from imgdiff_assets.ledger.store.store import read_bytes, store_of
from imgdiff_assets.statistics.diversity import filled_so_far

UNFINISHED = (".part", ".partial", ".tmp", ".crdownload", ".filepart", ".swp")
DONE, FAILED = "done", "failed"
UNDER_WAY = "inbox_under_way.json"
"""In `captions/`: whoever may drop files does not say what was taken of them."""

Seen = Mapping[str, tuple[int, int]]
"""Size and modification time (ns) by file name, of the look before."""


@dataclass(slots=True)
class InboxReport:
    """What a look into the inbox did: shards made, what became of each file, and which files to look at again.

    `ignored` names what is never taken.
    """

    shards: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    waiting: dict[str, tuple[int, int]] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Taken:
    """What has been taken of a file, known by name, size and modification time (ns), up to and with `row`."""

    name: str
    size: int
    modified: int
    row: int = 0
    accepted: int = 0
    duplicates: int = 0
    rejected_count: int = 0
    rejected: list[str] = field(default_factory=list)


STORED = TypeAdapter(Taken)


def take_files(
    home: Home, seen: Seen, settle_seconds: float, shard_size: int, fill_gaps: bool = False, patience: float = 30.0
) -> InboxReport:
    """Ingest the finished files of the inbox, oldest first; after `patience` seconds the rest waits for another look.

    A file that cannot be taken keeps no other from it. With `fill_gaps` each caption is noted with the replacements
    made so far. Raises PermissionError when the home cannot be written, DamagedTable when those replacements cannot be
    read.
    """
    home.create()
    report = InboxReport()
    until = time.monotonic() + patience
    for path, status in _entries(home, report):
        size, modified = status.st_size, status.st_mtime_ns
        still = seen.get(path.name) == (size, modified) or time.time() - modified / 1e9 >= settle_seconds
        if not still or time.monotonic() >= until:
            report.waiting[path.name] = (size, modified)
            continue
        name = storable(path.name)
        try:
            if stat.S_ISREG(status.st_mode):
                taken = _under_way(home, Taken(name, size, modified))
                report.lines.append(f"{name}: {_take(home, path, taken, shard_size, fill_gaps, until, report)}")
            else:
                reasons = ["is a link or no regular file; put the file itself here"]
                report.lines.append(f"{name}: {_fail(home, path, reasons)}")
        except (OSError, UnicodeError) as error:
            report.lines.append(f"{name}: stays where it is: {storable(shortened(str(error)))}")
    return report


def inbox_shards(home: Home, after: str) -> list[str]:
    """The shards later than `after` that came out of the inbox."""
    folder = f"{home.inbox}{os.sep}"
    keys = [key for key in shard_keys(home) if key > after]
    return [key for key in keys if str(read_captions(home, key)["source"][0].as_py()).startswith(folder)]


def _entries(home: Home, report: InboxReport) -> list[tuple[Path, os.stat_result]]:
    """What is not hidden and not under way, by age; the report is told of folders."""
    entries = []
    for path in home.inbox.iterdir():
        if path.name.startswith(".") or path.name.lower().endswith(UNFINISHED):
            continue
        try:
            status = path.lstat()
        except FileNotFoundError:
            continue  # renamed or taken away since
        if not stat.S_ISDIR(status.st_mode):
            entries.append((path, status))
        elif path.name not in (DONE, FAILED):
            report.ignored.append(f"{storable(path.name)} is a folder, which is not looked into.")
    return sorted(entries, key=lambda entry: (entry[1].st_mtime_ns, entry[0].name))


def _take(
    home: Home, path: Path, taken: Taken, shard_size: int, fill_gaps: bool, until: float, report: InboxReport
) -> str:
    """Ingest one file, or go on with it, and move it aside when it is done; returns what became of it."""
    result = ingest_in_part(path, home, shard_size, filled_so_far(home) if fill_gaps else None, taken.row, until)
    report.shards += result.shards
    taken.accepted += result.accepted
    taken.duplicates += result.duplicates
    taken.rejected_count += result.rejected_count
    taken.rejected += [str(rejection) for rejection in result.rejected][: REPORTED - len(taken.rejected)]
    so_far = (
        f"{counted(taken.accepted, 'new caption')}, {taken.duplicates:,} known already, "
        f"{taken.rejected_count:,} rejected"
    )
    note = home.captions / UNDER_WAY
    if result.stopped_at is not None:
        taken.row = result.stopped_at
        report.waiting[path.name] = (taken.size, taken.modified)
        with store_of(note).writing(note) as temporary:
            temporary.write_text(json.dumps(asdict(taken)), encoding="utf-8")
        return f"{so_far} up to row {taken.row:,}; goes on with the next look"
    store_of(note).delete(note)
    if result.files_failed or not (taken.accepted or taken.duplicates):
        return _fail(home, path, result.files_failed or taken.rejected)
    aside = _move(path, home.inbox / DONE)
    if taken.rejected:
        more = taken.rejected_count - len(taken.rejected)
        rest = [f"... and {more:,} more, in captions/rejected.jsonl"] if more else []
        _write_note(aside, ".rejected.txt", [*taken.rejected, *rest])
    return so_far


def _under_way(home: Home, new: Taken) -> Taken:
    """What the look before took of a file, if it is the same one."""
    try:
        taken = STORED.validate_json(read_bytes(home.captions / UNDER_WAY), strict=True)
    except (OSError, ValueError):
        return new
    return taken if (taken.name, taken.size, taken.modified) == (new.name, new.size, new.modified) else new


def _fail(home: Home, path: Path, reasons: list[str]) -> str:
    aside = _move(path, home.inbox / FAILED)
    _write_note(aside, ".error.txt", [*reasons, f"Captions come as {', '.join(SUFFIXES)}."])
    return f"moved to {storable(str(aside.relative_to(home.local)))}: {reasons[0]}"


def _write_note(beside: Path, suffix: str, lines: list[str]) -> None:
    with atomic_file(with_ending(beside, suffix)) as note:
        note.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _move(path: Path, folder: Path) -> Path:
    """Move a file into a folder, under a new name where another one has its own. Raises OSError."""
    folder.mkdir(exist_ok=True)
    if folder.is_symlink():  # anybody's file would get to anywhere
        raise OSError(f"{folder.name}/ is a link; put a folder there")
    target, number = folder / path.name, 1
    while os.path.lexists(target):
        target, number = with_ending(folder / path.stem, f".{number}{path.suffix}"), number + 1
    path.rename(target)
    return target
