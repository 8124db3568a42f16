"""The ledger: one Parquet table per (asset, shard), replaced by one atomic rename.

`<root>/<asset>/shard=<key>/rows.parquet` is the table; `history.jsonl` beside it has one line per materialisation;
`<root>/.staging/<asset>/<key>/` holds measured batches that are durable but not yet in the table. The ledger knows
nothing of what the columns mean.
"""

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pyarrow as pa

from imgdiff_assets.common.aliases import Say
from imgdiff_assets.ledger import tables
from imgdiff_assets.ledger.cells import CellReference
from imgdiff_assets.ledger.checked_file import DamagedTable
from imgdiff_assets.ledger.files import ASIDE, append_lines, remove_leftovers, set_aside
from imgdiff_assets.ledger.lines import Lines, read_lines
from imgdiff_assets.ledger.records import RECORD
from imgdiff_assets.ledger.tables import Pace, at_once
from resources.loading.file_lock import held


class Ledger:
    """The tables below one folder. Every write is atomic; a reader never sees half a table."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._next_batch: dict[tuple[Path, str], int] = {}

    def table_path(self, asset: str, shard: str) -> Path:
        return self.root / asset / f"shard={shard}" / "rows.parquet"

    def shards(self, asset: str, among: Iterable[str] | None = None) -> list[str]:
        """The shards (all, or `among` these) that have a table of this asset, in order."""
        if among is not None:
            return sorted(key for key in set(among) if self.exists(asset, key))
        return sorted(
            path.parent.name.removeprefix("shard=") for path in (self.root / asset).glob("shard=*/rows.parquet")
        )

    def exists(self, asset: str, shard: str) -> bool:
        return self.table_path(asset, shard).exists()

    def column_names(self, asset: str, shard: str) -> list[str]:
        """The columns that a table has, which an older version of the code may have written."""
        return tables.column_names(self.table_path(asset, shard))

    def read(self, asset: str, shard: str, schema: pa.Schema | None = None, images: bool = False) -> pa.Table:
        """One table, without its image columns unless asked for.

        With `schema`, a column that an older table lacks reads as null and one that is not in it is left out.
        Raises FileNotFoundError, DamagedTable.
        """
        return tables.read_table(self.table_path(asset, shard), schema, images)

    def record(self, asset: str, shard: str) -> dict[str, Any] | None:
        """The materialisation record in the table's footer; None when there is no whole table, or no record in it."""
        try:
            record = tables.read_record(self.table_path(asset, shard))
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
        try:
            return self.table_path(asset, shard).with_name("history.jsonl").stat().st_mtime
        except FileNotFoundError:
            return 0.0

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

        Image columns that `rows` lack are read from `references`, one per row if any, a row group at a time.
        """
        path = self.table_path(asset, shard)
        tables.write_table(path, schema, rows, references, record)
        append_lines(path.with_name("history.jsonl"), [json.dumps(record, sort_keys=True)])
        shutil.rmtree(self.staging(asset, shard), ignore_errors=True)

    def quarantine(self, asset: str, shard: str) -> Path:
        """Move a damaged table aside, so that it is neither read nor lost; returns where it went."""
        return set_aside(self.table_path(asset, shard))

    def verify(self, asset: str, shard: str, pace: Pace = at_once) -> None:
        """Read the whole table and compare it with its checksums; one without any is decoded.

        `pace(bytes)` is called after each row group. Raises FileNotFoundError, DamagedTable.
        """
        tables.verify(self.table_path(asset, shard), pace)

    def set_aside_damaged(self, asset: str, shard: str) -> Path | None:
        """Move a table aside if it is damaged indeed; None where it is whole or gone, for another run was faster."""
        try:
            self.verify(asset, shard)
        except DamagedTable:
            return self.quarantine(asset, shard)
        except FileNotFoundError:
            pass
        return None

    def latest_aside(self, asset: str, shard: str) -> Path | None:
        """The table that was moved aside last, if none has taken its place: what is whole of it is still of use."""
        path = self.table_path(asset, shard)
        found = [] if path.exists() else sorted(path.parent.glob(f"{path.name}{ASIDE}-*"))
        return found[-1] if found else None

    def staging(self, asset: str, shard: str) -> Path:
        return self.root / ".staging" / asset / shard

    def stage_batch(
        self, asset: str, shard: str, step: str, rows: Sequence[Mapping[str, Any]], schema: pa.Schema
    ) -> Path:
        """Make one measured batch durable; it survives a kill and is found by `staged_batches`."""
        folder = self.staging(asset, shard)
        if (folder, step) not in self._next_batch:
            # After the last one, not by count: a torn batch may have been removed, and none may be overwritten.
            numbers = [int(path.stem.rpartition("-")[2]) for path in folder.glob(f"{step}-*.parquet")]
            self._next_batch[folder, step] = max(numbers, default=-1) + 1
        number = self._next_batch[folder, step]
        path = folder / f"{step}-{number:06d}.parquet"
        tables.write_rows(path, rows, schema)
        self._next_batch[folder, step] = number + 1
        return path

    def staged_batches(self, asset: str, shard: str, step: str) -> list[Path]:
        """The durable batches of one step, oldest first; what a kill left half-written is removed."""
        folder = self.staging(asset, shard)
        # Another process may have added some since this one last did.
        self._next_batch.pop((folder, step), None)
        for written in (folder, self.table_path(asset, shard).parent):
            remove_leftovers(written)
        return sorted(folder.glob(f"{step}-*.parquet"))

    @property
    def locks(self) -> Path:
        return self.root / ".locks"

    def lock(self, asset: str, shard: str, holder: str, on_wait: Say | None = None) -> AbstractContextManager[None]:
        """Hold one (asset, shard); a second run waits, and `on_wait` is told for whom: see `file_lock.held`."""
        return held(self.locks / f"{asset}.{shard}", f"{asset} of {shard}", holder, on_wait)
