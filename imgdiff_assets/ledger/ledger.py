"""The ledger: one Parquet table per (asset, shard), replaced by one atomic rename.

`<root>/<asset>/shard=<key>/rows.parquet` is the table; `history.jsonl` beside it has one line per materialisation;
`<root>/.staging/<asset>/<key>/` holds measured batches that are durable but not yet in the table. Images are in
neither, but in parts beside the root. The ledger knows nothing of what the columns mean.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import pyarrow as pa

from imgdiff_assets.common.aliases import Booleans, Say
from imgdiff_assets.home import Home
from imgdiff_assets.ledger import places, tables
from imgdiff_assets.ledger.aside import latest_aside, set_aside
from imgdiff_assets.ledger.batch_notes import NOTE
from imgdiff_assets.ledger.cells import NOT_THERE, CellReference, is_image
from imgdiff_assets.ledger.checked_file import DamagedTable
from imgdiff_assets.ledger.home_format import check_format, say_format
from imgdiff_assets.ledger.lines import Lines, read_lines
from imgdiff_assets.ledger.parts import Parts
from imgdiff_assets.ledger.records import RECORD
from imgdiff_assets.ledger.store.entry import ANY, Entry, Expected, Replaced
from imgdiff_assets.ledger.store.store import store_of
from imgdiff_assets.ledger.tables import Pace, Said, at_once

NO_COLUMNS: Mapping[str, pa.Array] = {}


@dataclass(slots=True)
class _Held:
    """A lock of this process: `confirm()` raises LeaseLost, `table` is the version that it may replace."""

    confirm: Callable[[], None]
    table: Expected


class Ledger:
    """The tables below one folder. Every write is atomic; a reader never sees half a table. Raises NewerHome."""

    def __init__(self, root: PurePath) -> None:
        check_format(root)
        self.root = root
        self._store = store_of(root)
        self._next_batch: dict[tuple[PurePath, str], int] = {}
        self._held: dict[tuple[str, str], _Held] = {}

    def table_path(self, asset: str, shard: str) -> PurePath:
        return places.table_path(self.root, asset, shard)

    def parts(self, asset: str, shard: str) -> Parts:
        """The images of a table and its batches."""
        return Parts(places.parts_folder(self.root, asset, shard))

    def shards(self, asset: str, among: Iterable[str] | None = None) -> list[str]:
        """The shards (all, or `among` these) that have a table of this asset, in order."""
        if among is not None:
            return sorted(key for key in set(among) if self.exists(asset, key))
        return sorted(self.tables(asset))

    def tables(self, asset: str) -> dict[str, Entry]:
        """By shard, what the store tells of the tables of this asset."""
        found = self._store.find(self.root / asset, "shard=*/rows.parquet")
        return {entry.address.parent.name.removeprefix("shard="): entry for entry in found}

    def versions(self, asset: str) -> dict[str, str]:
        """By shard, the version of the table of this asset."""
        found = self._store.versions(self.root / asset, places.TABLE)
        return {name.removeprefix(places.SHARD): told for name, told in found.items() if name.startswith(places.SHARD)}

    def exists(self, asset: str, shard: str) -> bool:
        return self._store.version(self.table_path(asset, shard)) is not None

    def column_names(self, asset: str, shard: str) -> list[str]:
        """The columns that a table has, which an older version of the code may have written."""
        return list(self.said(asset, shard).names)

    def said(self, asset: str, shard: str) -> Said:
        """What a table says of itself, by one opening. Raises FileNotFoundError, DamagedTable."""
        return tables.read_said(self.table_path(asset, shard))

    def read(self, asset: str, shard: str, schema: pa.Schema | None = None, images: bool = False) -> pa.Table:
        """One table, without its image columns unless asked for.

        With `schema`, a column that an older table lacks reads as null and one that is not in it is left out.
        Raises FileNotFoundError, DamagedTable.
        """
        return tables.read_table(self.table_path(asset, shard), schema, images)

    def record(self, asset: str, shard: str) -> dict[str, Any] | None:
        """The materialisation record in the table's footer; None when there is no whole table, or no record in it."""
        try:
            record = self.said(asset, shard).record
            return None if record is None else RECORD.validate_json(record)
        except (DamagedTable, FileNotFoundError, ValueError):
            return None

    def history(self, asset: str, shard: str, last: int | None = None) -> list[dict[str, Any]]:
        """The records of all materialisations, or in the `last` lines, oldest first; without unreadable lines."""
        return list(self.history_lines(asset, shard, last).values)

    def history_lines(self, asset: str, shard: str, last: int | None = None) -> Lines[dict[str, Any]]:
        """The same, and which lines are unreadable."""
        return read_lines(self.table_path(asset, shard).with_name("history.jsonl"), RECORD, last)

    def written_at(self, asset: str, shard: str) -> float:
        """When the table's history was last written to, in seconds of the epoch; 0 where there is none."""
        pieces = self._store.pieces(self.table_path(asset, shard).with_name("history.jsonl"))
        return max((piece.modified for piece in pieces), default=0.0)

    def commit(
        self,
        asset: str,
        shard: str,
        schema: pa.Schema,
        rows: pa.Table,
        references: Sequence[CellReference | None],
        record: Mapping[str, Any],
    ) -> None:
        """Replace the table by `rows`; a column that they lack is null.

        Where the images lie that `rows` lack, `references` tell, one per row if any; what lies in no part yet is put
        into some. Whoever holds the lock replaces only what was there when he took it. Raises Replaced, LeaseLost.
        """
        say_format(self.root)
        path, keep = self.table_path(asset, shard), self.parts(asset, shard).keep
        tables.write_table(path, schema, rows, references, record, self._expected(asset, shard), keep)
        self._note(asset, shard)
        self._store.append(path.with_name("history.jsonl"), [json.dumps(record, sort_keys=True)])
        self._store.delete(self.staging(asset, shard))

    def keep_rows(
        self,
        asset: str,
        shard: str,
        stays: Booleans,
        record: Mapping[str, Any] | None,
        columns: Mapping[str, pa.Array] = NO_COLUMNS,
    ) -> None:
        """Replace the table by those of its rows for which `stays` is true, with these `columns` in place of its own.

        Raises as `commit`, and DamagedTable.
        """
        path = self.table_path(asset, shard)
        tables.write_again(path, stays, record, self._expected(asset, shard), columns)
        self._note(asset, shard)

    def rewrite(self, asset: str, shard: str) -> None:
        """Replace the table by what it is, in today's format: its images in parts. Raises as `commit`."""
        say_format(self.root)
        path = self.table_path(asset, shard)
        tables.in_parts(path, self._expected(asset, shard), self.parts(asset, shard).keep)
        self._note(asset, shard)

    def _expected(self, asset: str, shard: str) -> Expected:
        """What whoever holds the lock may replace, which is asked now whether he does. Raises LeaseLost."""
        held = self._held.get((asset, shard))
        if held is None:
            return ANY
        held.confirm()
        return held.table

    def confirm(self, asset: str, shard: str) -> None:
        """Raises LeaseLost where another may hold the lock that this process took."""
        self._expected(asset, shard)

    def _note(self, asset: str, shard: str) -> None:
        """What is there now, this process has put there."""
        if (held := self._held.get((asset, shard))) is not None:
            held.table = self._store.version(self.table_path(asset, shard))

    def quarantine(self, asset: str, shard: str) -> PurePath:
        """Move a damaged table aside, so that it is neither read nor lost; returns where it went."""
        aside = set_aside(self.table_path(asset, shard))
        self._note(asset, shard)
        return aside

    def verify(self, asset: str, shard: str, pace: Pace = at_once) -> None:
        """Read the whole table and its parts, and compare them with their checksums; one without any is decoded.

        `pace(bytes)` is called after each row group. Raises FileNotFoundError, DamagedTable.
        """
        tables.verify(self.table_path(asset, shard), pace)
        for part in self.parts_named(asset, shard):
            try:
                tables.verify(part, pace)
            except FileNotFoundError:
                raise DamagedTable(part, NOT_THERE) from None

    def parts_named(self, asset: str, shard: str) -> list[PurePath]:
        """The parts with the images of a table. Raises FileNotFoundError, DamagedTable."""
        path = self.table_path(asset, shard)
        return sorted(places.part_path(path, name) for name in tables.parts_named(path))

    def owns(self, asset: str, shard: str, path: PurePath) -> bool:
        """Whether a file is this table, or one of its parts."""
        return path == self.table_path(asset, shard) or path.parent == self.parts(asset, shard).folder

    def set_aside_damaged(self, asset: str, shard: str) -> PurePath | None:
        """Move a table aside if it is damaged indeed; None where it is whole or gone, for another run was faster."""
        try:
            self.verify(asset, shard)
        except DamagedTable:
            return self.quarantine(asset, shard)
        except FileNotFoundError:
            pass
        return None

    def latest_aside(self, asset: str, shard: str) -> PurePath | None:
        """The table that was moved aside last, if none has taken its place: what is whole of it is still of use."""
        return None if self.exists(asset, shard) else latest_aside(self.table_path(asset, shard))

    def staging(self, asset: str, shard: str) -> PurePath:
        return places.staging(self.root, asset, shard)

    def is_staged(self, asset: str, shard: str) -> bool:
        """Whether there are batches that are in no table yet: a run is under way, or was killed."""
        return bool(self._store.find(self.staging(asset, shard), "*.parquet"))

    def drop_staged(self, asset: str, shard: str, and_notes: bool) -> None:
        """Let batches go; what a batch service was asked, and is to be paid for, stays noted unless told otherwise."""
        for entry in self._store.below(self.staging(asset, shard)):
            if and_notes or not entry.address.name.endswith(NOTE):
                self._store.delete(entry.address)

    def all_staged(self) -> list[PurePath]:
        """The batches of all shards."""
        return [entry.address for entry in self._store.find(self.root / places.STAGING, f"*/*/*{places.PARQUET}")]

    def stage_batch(
        self, asset: str, shard: str, step: str, rows: Sequence[Mapping[str, Any]], schema: pa.Schema
    ) -> PurePath:
        """Make one measured batch durable; it survives a kill and is found by `staged_batches`.

        Its images first, in a part.
        """
        say_format(self.root)
        folder = self.staging(asset, shard)
        images = [field.name for field in schema if is_image(field)]
        if images:
            rows, schema = self.parts(asset, shard).keep(rows, images), tables.with_places(schema)
        if (folder, step) not in self._next_batch:
            # After the last one, not by count: a torn batch may have been removed, and none may be overwritten.
            numbers = [int(path.stem.rpartition("-")[2]) for path in self._batches(folder, step)]
            self._next_batch[folder, step] = max(numbers, default=-1) + 1
        while True:
            number = self._next_batch[folder, step]
            self._next_batch[folder, step] = number + 1
            path = folder / f"{step}-{number:06d}.parquet"
            try:
                tables.write_rows(path, rows, schema, expected=None)
            except Replaced:  # by another, or by this process, which was not told
                continue
            return path

    def _batches(self, folder: PurePath, step: str) -> list[PurePath]:
        return [entry.address for entry in self._store.find(folder, f"{step}-*.parquet")]

    def staged_batches(self, asset: str, shard: str, step: str) -> list[PurePath]:
        """The durable batches of one step, oldest first; what a kill left half-written is removed."""
        folder = self.staging(asset, shard)
        # Another process may have added some since this one last did.
        self._next_batch.pop((folder, step), None)
        for written in (folder, self.table_path(asset, shard).parent):
            self._store.tidy(written)
        return self._batches(folder, step)

    @property
    def locks(self) -> Path:
        """Where locks are that concern this machine alone."""
        return Home(self.root.parent).local / self.root.name / ".locks"

    @contextmanager
    def lock(self, asset: str, shard: str, holder: str, on_wait: Say | None = None) -> Iterator[None]:
        """Hold one (asset, shard); a second run waits, and `on_wait` is told for whom: see `Store.held`."""
        address = self.root / ".locks" / f"{asset}.{shard}"
        with self._store.held(address, f"{asset} of {shard}", holder, on_wait) as confirm:
            self._held[asset, shard] = _Held(confirm, self._store.version(self.table_path(asset, shard)))
            try:
                yield
            finally:
                del self._held[asset, shard]
