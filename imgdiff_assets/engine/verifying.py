"""Looking at every byte of a home: what is damaged is named, and set aside or restored; what reads well stays."""

import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import PurePath
from typing import Any

from pydantic import TypeAdapter

from imgdiff_assets.common.aliases import Say
from imgdiff_assets.engine.record import output_hash
from imgdiff_assets.engine.restoring import restore_captions, restore_images
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.shards import caption_path, pair_images_path, shard_keys
from imgdiff_assets.ledger import tables
from imgdiff_assets.ledger.aside import WRONG, latest_aside, set_aside
from imgdiff_assets.ledger.cells import IMAGE, NOT_THERE
from imgdiff_assets.ledger.checked_file import CheckedFile, DamagedTable
from imgdiff_assets.ledger.images import DamagedImage, decode, pixel_hash
from imgdiff_assets.ledger.journal import journals_of
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.lines import read_lines
from imgdiff_assets.ledger.parts import hash_column
from imgdiff_assets.ledger.reviews import read_reviews
from imgdiff_assets.ledger.store.store import size_of, store_of
from imgdiff_assets.stages.graph import STAGES
from imgdiff_assets.stages.stage import Stage

AGAIN = "the next run makes again what is lost"
ANY_LINE: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])


@dataclass(frozen=True, slots=True)
class Finding:
    """A damaged file: what is wrong with it, and what became of it."""

    file: str
    reason: str
    outcome: str

    def __str__(self) -> str:
        return f"{self.file} is damaged: {self.reason}; {self.outcome}."


@dataclass(slots=True)
class Verified:
    """What became of a look at a home: `bytes` are those of the `files` that were read.

    `without_checksums` are files of before there were any, `unreadable` lines by file, counted from 1.
    """

    files: int = 0
    bytes: int = 0
    without_checksums: int = 0
    given_checksums: int = 0
    findings: list[Finding] = field(default_factory=list)
    unreadable: dict[str, list[int]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


class _Pace:
    """Waits so that no more bytes are read in a second than it is told; what reads beside it is not starved."""

    def __init__(self, rate: float | None) -> None:
        self._rate, self._began, self._read = rate, time.monotonic(), 0

    def __call__(self, count: int) -> None:
        self._read += count
        if self._rate is not None:
            time.sleep(max(0.0, self._read / self._rate - (time.monotonic() - self._began)))


class Verifying:
    """One look at a home; `result` is what it has found so far.

    `rate` bounds the bytes that are read in a second; with `add`, files without checksums are given some. `log` hears
    for which run it waits.
    """

    def __init__(self, home: Home, rate: float | None = None, add: bool = False, log: Say = lambda text: None) -> None:
        self.result = Verified()
        self._home, self._ledger, self._add, self._log = home, Ledger(home.ledger), add, log
        self._pace = _Pace(rate)

    def home(self) -> Verified:
        """Everything but what can be made again: tables, batches, captions, images, and the files of lines."""
        for stage in STAGES:
            self.tables(stage, self._ledger.shards(stage.name))
        for batch in self._ledger.all_staged():
            self._look(batch, lambda: AGAIN)
        for key in shard_keys(self._home):
            self._look(caption_path(self._home, key), partial(restore_captions, self._home, key))
            self._look(pair_images_path(self._home, key), partial(restore_images, self._home, key))
        self._note_lines(self._home.reviews, read_reviews(self._home).unreadable)
        for journal in journals_of(self._home):
            self._note_lines(journal, read_lines(journal, ANY_LINE).unreadable)
        return self.result

    def tables(self, stage: Stage, shards: Sequence[str]) -> Verified:
        """The tables of one stage; a damaged one is moved aside."""
        holder = f"`imgdiff ledger verify` (process {os.getpid()} on {platform.node()})"
        for shard in shards:
            path = self._ledger.table_path(stage.name, shard)
            with self._ledger.lock(stage.name, shard, holder, self._log):
                self._look(path, partial(_move_aside, path), stage, shard)
                self._parts(stage, shard)
            lines = self._ledger.history_lines(stage.name, shard)
            self._note_lines(path.with_name("history.jsonl"), lines.unreadable)
        return self.result

    def _parts(self, stage: Stage, shard: str) -> None:
        """The images of a table and its batches; one that names a part which is damaged or gone is moved aside."""
        for entry in self._ledger.parts(stage.name, shard).entries():
            self._look(entry.address, partial(_move_aside, entry.address))
        try:
            named = self._ledger.parts_named(stage.name, shard)
        except (FileNotFoundError, DamagedTable):  # it was moved aside already
            return
        missing = [path for path in named if store_of(path).version(path) is None]
        for path in missing:
            if not latest_aside(path):
                self.find(path, NOT_THERE, AGAIN)
        if missing:
            _move_aside(self._ledger.table_path(stage.name, shard))

    def _look(self, path: PurePath, mend: Callable[[], str], stage: Stage | None = None, shard: str = "") -> None:
        """Read one file, if it is there; `mend()` does what can be done about damage, and says what that was."""
        try:
            whole = tables.verify(path, self._pace)
        except FileNotFoundError:
            return
        except DamagedTable as damage:
            self.find(path, damage.reason, mend())
            return
        # A file of before says nothing of its bytes; but a table tells what its rows mean.
        if not whole and stage is not None and (wrong := self._is_wrong(stage, shard)):
            self.find(path, wrong, f"moved to {set_aside(path, WRONG).name}, the next run measures all of it again")
            return
        self.result.files += 1
        self.result.bytes += size_of(path)
        self.result.without_checksums += not whole
        if self._add and not whole:
            tables.write_again(path)
            self.result.given_checksums += 1

    def _is_wrong(self, stage: Stage, shard: str) -> str:
        """Why a table is not what its record says; empty if it is."""
        record = self._ledger.record(stage.name, shard)
        try:
            same = record is not None and record["output_hash"] == output_hash(self._ledger.read(stage.name, shard))
        except ValueError:  # for a number that nobody measured
            same = False
        if not same:
            return "its rows are not those that its record names"
        with CheckedFile(self._ledger.table_path(stage.name, shard)) as file:
            hashes = {column.name: hash_column(column.name) for column in file.schema if column.type == IMAGE}
            for group in file.groups if hashes else ():
                for row in file.read([*hashes, *hashes.values()], [group]).to_pylist():
                    for name, known in hashes.items():
                        if row[name] is not None and not _is_image_of(row[name]["bytes"], row[known]):
                            return f"{name} of a row is not the image whose hash it has"
        return ""

    def find(self, path: PurePath, reason: str, outcome: str) -> None:
        """Note a damaged file."""
        self.result.findings.append(Finding(self._name(path), reason, outcome))

    def _note_lines(self, path: PurePath, numbers: Sequence[int]) -> None:
        if numbers:
            self.result.unreadable[self._name(path)] = list(numbers)

    def _name(self, path: PurePath) -> str:
        """From the home, where it is in there: Dagster's files may be elsewhere."""
        return str(path.relative_to(self._home.root) if path.is_relative_to(self._home.root) else path)


def _is_image_of(data: bytes, known: str) -> bool:
    try:
        return pixel_hash(decode(data)) == known
    except DamagedImage:
        return False


def _move_aside(path: PurePath) -> str:
    return f"moved to {set_aside(path).name}, {AGAIN}"
