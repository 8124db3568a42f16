"""Caption files in, shards out.

A caption is ingested once, whatever file it comes from; a line that cannot be used is kept in
`<home>/captions/rejected.jsonl` with its reason.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path, PurePath

from imgdiff_assets.common.aliases import Row
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.caption_files import DEFAULT_COLUMN, caption_files, read_values
from imgdiff_assets.ingest.cleaning import UnusableText, clean
from imgdiff_assets.ingest.ingest_report import IngestError, IngestReport, Rejections, storable
from imgdiff_assets.ingest.removed_sources import read_removed
from imgdiff_assets.ingest.shards import FILLED, SCHEMA, adding_shards, caption_id, known_captions, new_keys
from imgdiff_assets.ingest.text_lines import Unreadable
from imgdiff_assets.ledger.store.entry import StoreError
from imgdiff_assets.ledger.tables import write_rows

DEFAULT_SHARD_SIZE = 1_000
LARGEST_SHARD = 1_000_000


def ingest(
    files: Sequence[PurePath],
    home: Home,
    column: str | None = None,
    shard_size: int = DEFAULT_SHARD_SIZE,
    filled: Callable[[str], str] | None = None,
    accepted: Callable[[str], None] = lambda caption: None,
    dry_run: bool = False,
) -> IngestReport:
    """Add the captions of `files` as new shards of at most `shard_size` captions, each with what `filled` says of it.

    Of a folder, those of all files below it. A file that cannot be read is reported and the others are ingested. Two
    ingestions wait for each other. `accepted` is told each caption that is new. With `dry_run` all is read and
    reported, and nothing written. Raises IngestError when `shard_size` is out of bounds, PermissionError when the home
    cannot be written.
    """
    with nullcontext() if dry_run else adding_shards(home):
        ingestion = _Ingestion(home, column, shard_size, filled, accepted, dry_run)
        for place in files:
            ingestion.add_all(place)
        return ingestion.end()


def ingest_in_part(
    file: Path,
    home: Home,
    shard_size: int,
    filled: Callable[[str], str] | None,
    after: int,
    until: float,
) -> IngestReport:
    """Add the captions of one file that is no link, from behind row `after`, until `time.monotonic()` is `until`.

    The report says where it stopped. Otherwise as `ingest`.
    """
    with adding_shards(home):
        ingestion = _Ingestion(home, None, shard_size, filled)
        ingestion.add(file, follow=False, after=after, until=until)
        return ingestion.end()


class _Ingestion:
    """One call, which holds the lock: never more than one shard's captions in memory."""

    ROWS_BETWEEN_LOOKS_AT_THE_CLOCK = 1_000

    def __init__(
        self,
        home: Home,
        column: str | None,
        shard_size: int,
        filled: Callable[[str], str] | None,
        told: Callable[[str], None] = lambda caption: None,
        dry_run: bool = False,
    ) -> None:
        if not 1 <= shard_size <= LARGEST_SHARD:
            raise IngestError(
                f"--shard-size {shard_size}: a shard holds 1 to {LARGEST_SHARD:,} captions, for a run has the columns "
                "of all its rows in memory; some thousands are handiest."
            )
        self._home, self._column, self._shard_size, self._filled = home, column, shard_size, filled
        self._told, self._dry_run = told, dry_run
        self._known, self._keys = known_captions(home), new_keys(home)
        self._rejections, self._removed = Rejections(home, dry_run), read_removed(home)
        self._rows: list[Row] = []
        self._shards: list[str] = []
        self._failed: list[str] = []
        self._accepted = self._duplicates = 0
        self._stopped_at: int | None = None

    def add_all(self, place: PurePath) -> None:
        """Take the captions of a file, or of all files below a folder."""
        try:
            files = caption_files(place)
        except (IngestError, StoreError) as error:
            self._failed.append(storable(str(error)))
            return
        for file in files:
            self.add(file)

    def add(self, file: PurePath, follow: bool = True, after: int = 0, until: float = float("inf")) -> None:
        """Take the captions of one file, or none of them: one that cannot be read to its end is reported."""
        try:
            # To the end first: one that breaks off in the middle contributes nothing, and can be ingested again.
            if not after and not sum(1 for _ in read_values(file, self._column, follow)):
                raise IngestError(f"{file}: holds no captions; nothing was ingested from it.")
            values = ((line, value) for line, value in read_values(file, self._column, follow) if line > after)
            self._stopped_at = self._take_some(storable(str(file)), values, until)
        except IngestError as error:
            self._failed.append(storable(str(error)))

    def end(self) -> IngestReport:
        """Write what is not written yet, and tell."""
        if self._rows:
            self._write()
        self._rejections.write()
        return IngestReport(
            self._shards,
            self._accepted,
            self._duplicates,
            self._rejections.first,
            self._failed,
            self._rejections.count,
            stopped_at=self._stopped_at,
        )

    def _take_some(self, source: str, values: Iterator[tuple[int, object]], until: float) -> int | None:
        """Where it stopped for want of time."""
        for count, (line, value) in enumerate(values, 1):
            try:
                self._take(source, line, value)
            except UnusableText as error:
                self._rejections.add(source, line, self._column or DEFAULT_COLUMN, str(error), str(value))
            if count % self.ROWS_BETWEEN_LOOKS_AT_THE_CLOCK == 0 and time.monotonic() > until:
                return line
        return None

    def _take(self, source: str, line: int, value: object) -> None:
        if isinstance(value, Unreadable):
            raise UnusableText(value.reason)
        caption = clean(value)
        identity = caption_id(caption)
        if reason := self._removed.reason([identity]):
            self._rejections.add(source, line, self._column or DEFAULT_COLUMN, reason)
            return
        if not self._known.add(identity):
            self._duplicates += 1
            return
        self._told(caption)
        self._rows.append({"caption_id": identity, "caption": caption, "source": source, "line": line})
        if len(self._rows) == self._shard_size:
            self._write()

    def _write(self) -> None:
        schema, rows, key = SCHEMA, self._rows, next(self._keys)
        if self._filled is not None:
            schema = SCHEMA.append(FILLED)
            rows = [{**row, FILLED.name: self._filled(row["caption"])} for row in rows]
        if not self._dry_run:
            write_rows(self._home.captions / f"{key}.parquet", rows, schema, expected=None)
        self._shards.append(key)
        self._accepted += len(rows)
        self._rows = []
