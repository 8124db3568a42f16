"""Taking a source down where others are at work on the home: what would go, and letting it go."""

import json
import re
import shutil
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import PurePath
from typing import Any

import dagster as dg

from imgdiff_assets.common.hashing import ID_LENGTH
from imgdiff_assets.common.plain_text import counted
from imgdiff_assets.defs.catalog_index import rebuild
from imgdiff_assets.defs.instance_files import dagster_folder
from imgdiff_assets.defs.names import PLAIN
from imgdiff_assets.defs.partitions import SHARDS
from imgdiff_assets.defs.unheld_shards import unheld
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.removed_sources import CAPTION, FILE, PICTURE, note_removal, read_removed
from imgdiff_assets.ingest.shards import adding_shards
from imgdiff_assets.ledger.journal import journals_of
from imgdiff_assets.ledger.reviews import read_reviews
from imgdiff_assets.ledger.store.store import lines_of, store_of
from imgdiff_assets.lineage.takedown import ShardPart, find_parts, is_of_file, take_down
from imgdiff_assets.release.holding import holding
from imgdiff_assets.stages.graph import SAMPLES, STAGE_NAMES

WITHOUT_RUN = ""
ID = re.compile(rb"(?<![0-9a-f])[0-9a-f]{%d}(?![0-9a-f])" % ID_LENGTH)


@dataclass(slots=True)
class Takedown:
    """What goes: captions or pairs by shard, ids of rows by table, hashes of images, reviews, lines `said` by journal.

    `remade` are tables by shard that go whole, for they are damaged; `releases` hold so many samples of it by version,
    and stay; `sources` are the files that it came from, which stay too. `earlier` is when it was removed before.
    """

    by: str
    name: str
    captions: dict[str, list[str]] = field(default_factory=dict)
    rows: dict[str, list[str]] = field(default_factory=dict)
    images: list[str] = field(default_factory=list)
    remade: list[str] = field(default_factory=list)
    reviews: int = 0
    said: dict[str, int] = field(default_factory=dict)
    releases: dict[str, int] = field(default_factory=dict)
    sources: list[str] = field(default_factory=list)
    earlier: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    @property
    def ids(self) -> frozenset[str]:
        """Of all that goes."""
        return frozenset(each for ids in (*self.captions.values(), *self.rows.values()) for each in ids)

    def to_text(self) -> str:
        """What goes and what stays, a line each."""
        what = sum(map(len, self.captions.values()))
        lines = [f"{counted(what, 'source')} of {', '.join(self.captions)}"]
        lines += [f"  {table:<18}{counted(len(ids), 'row')}" for table, ids in self.rows.items() if ids]
        lines += [f"  {counted(self.reviews, 'review')}"] if self.reviews else []
        lines += [f"  {counted(count, 'line')} of {name}" for name, count in self.said.items()]
        lines += [f"  {name} whole, for it is damaged" for name in self.remade]
        lines.append("  what these shards have unfinished or set aside, and the thumbnails of this machine")
        for version, count in self.releases.items():
            lines.append(f"Release {version} holds {counted(count, 'sample')} of it, and stays as it is.")
        if self.sources:
            lines.append(f"The files that it came from stay: {', '.join(self.sources)}")
        return "\n".join(lines)


def foresee(home: Home, by: str, name: str) -> Takedown:
    """What `remove_source` would do. Raises TakedownError, ShardError, BrokenRelease, OSError."""
    return _told(home, by, name, find_parts(home, by, name))


def remove_source(home: Home, by: str, name: str) -> Takedown:
    """Remove a source and all that came of it, for good. Raises as `foresee`; ShardError while a run holds a shard."""
    keys = sorted({part.key for part in find_parts(home, by, name) if part.file.parent == home.captions})
    with unheld(home, keys) as instance, adding_shards(home):
        parts = find_parts(home, by, name)
        told = _told(home, by, name, parts)
        emptied = [part.key for part in parts if part.is_all]
        captions = [each for part in parts for each in (*part.captions, *part.spellings)]
        if parts:
            pictures = [name] if by == PICTURE else []
            note_removal(home, by, captions, pictures, told.images, sorted(set(emptied)), told.rows)
        runs = _runs(parts)
        goes = partial(_names_any, told.ids)
        for lines in (home.reviews, *journals_of(home)):
            store_of(lines).drop_lines(lines, goes)
        if by == FILE:
            _drop(home.captions / "rejected.jsonl", lambda line: is_of_file(str(line.get("file")), name))
        _forget(home, instance, runs)
        take_down(parts)
        for key in emptied:
            instance.delete_dynamic_partition(str(SHARDS.name), key)
    rebuild(home)
    return told


def _told(home: Home, by: str, name: str, parts: Sequence[ShardPart]) -> Takedown:
    told = Takedown(by, name)
    for part in parts:
        told.captions.setdefault(part.key, []).extend(part.captions)
        for table, gone in part.tables.items():
            if gone is None:
                told.remade.append(f"{table} of {part.key}")
            elif gone.ids:
                told.rows.setdefault(table, []).extend(gone.ids)
        told.sources += [source for source in part.sources if source not in told.sources]
    told.images = sorted({image for part in parts for gone in part.tables.values() if gone for image in gone.images})
    by_sample = read_reviews(home).by_sample
    told.reviews = sum(len(by_sample.get(sample, {})) for sample in told.rows.get(SAMPLES, ()))
    for journal in journals_of(home):
        if count := sum(_names_any(told.ids, line) for line in lines_of(journal)):
            told.said[journal.name] = count
    removed = read_removed(home)
    named = {each for part in parts for each in part.captions}
    if by == CAPTION:
        named |= {each for each in removed.captions if each.startswith(name)}
        told.earlier = min((removed.captions[each] for each in named if each in removed.captions), default=None)
    elif by == PICTURE:
        told.earlier = removed.pictures.get(name)
    told.releases = holding(home, named)
    return told


def _runs(parts: Sequence[ShardPart]) -> set[str]:
    """The runs that made tables of these shards: their events show pictures."""
    return {
        record["run_id"] for part in parts for stage in STAGE_NAMES for record in part.ledger.history(stage, part.key)
    }


def _names_any(ids: frozenset[str], line: bytes) -> bool:
    """Whether any of these ids stands in a line, wherever: also in one that nobody can read."""
    return any(each.decode() in ids for each in ID.findall(line))


def _drop(address: PurePath, goes: Callable[[Mapping[str, Any]], bool]) -> None:
    """Take lines out of a file of JSON documents."""

    def dropped(line: bytes) -> bool:
        try:
            return goes(json.loads(line))
        except (ValueError, AttributeError):  # a line that nobody can read says of nothing
            return False

    store_of(address).drop_lines(address, dropped)


def _forget(home: Home, instance: dg.DagsterInstance, runs: set[str]) -> None:
    """What can be made again and may show some of it: thumbnails and ends of tables, the report, Dagster's events."""
    shutil.rmtree(home.local / "cache", ignore_errors=True)
    home.report.unlink(missing_ok=True)
    instance.wipe_assets([PLAIN.key(name) for name in (*STAGE_NAMES, "release")])
    known = {run.run_id for run in instance.get_runs()}
    # SQLite has each event twice: also by its run, and those without one, which have no id, beside each other.
    alone = {WITHOUT_RUN} if dagster_folder(home) == home.dagster else set()
    for run_id in runs & known | alone:
        instance.delete_run(run_id)
    for database in dagster_folder(home).rglob("*.db"):
        with closing(sqlite3.connect(database)) as connection:
            connection.execute("VACUUM")  # else what was deleted stays in the file
