"""Caption files in, shards out.

A caption is ingested once, whatever file it comes from; a line that cannot be used is kept in
`<home>/captions/rejected.jsonl` with its reason.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from imgdiff_assets.common.aliases import Row
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.caption_files import Unreadable, read_values
from imgdiff_assets.ingest.cleaning import UnusableText, clean
from imgdiff_assets.ingest.ingest_report import (
    KEPT_TEXT,
    IngestError,
    IngestReport,
    RejectedCaption,
    keep_rejected,
    storable,
)
from imgdiff_assets.ingest.shards import FILLED, SCHEMA, adding_shards, caption_id, known_captions, new_keys
from imgdiff_assets.ledger.tables import write_rows

DEFAULT_SHARD_SIZE = 1_000
LARGEST_SHARD = 1_000_000


def ingest(
    files: Sequence[Path],
    home: Home,
    column: str | None = None,
    shard_size: int = DEFAULT_SHARD_SIZE,
    filled: Callable[[str], str] | None = None,
) -> IngestReport:
    """Add the captions of `files` as new shards of at most `shard_size` captions, each with what `filled` says of it.

    A file that cannot be read is reported and the others are ingested. Two ingestions wait for each other. Raises
    IngestError when `shard_size` is out of bounds, PermissionError when the home cannot be written.
    """
    if not 1 <= shard_size <= LARGEST_SHARD:
        raise IngestError(
            f"--shard-size {shard_size}: a shard holds 1 to {LARGEST_SHARD:,} captions, for a run has the columns of "
            "all its rows in memory; some thousands are handiest."
        )
    with adding_shards(home):
        taken, failed = _Taken(home), []
        for file in files:
            try:
                taken.add(file, column)
            except IngestError as error:
                failed.append(storable(str(error)))
        shards = _write(taken.rows, home, shard_size, filled)
        keep_rejected(home, taken.rejected)
    return IngestReport(shards, len(taken.rows), taken.duplicates, taken.rejected, failed)


class _Taken:
    """What the files of one ingestion hold: rows of new captions, and what becomes of all others."""

    def __init__(self, home: Home) -> None:
        self._known = known_captions(home)
        self.rows: list[Row] = []
        self.duplicates = 0
        self.rejected: list[RejectedCaption] = []

    def add(self, file: Path, column: str | None) -> None:
        """Take the captions of one file, or none of them. Raises IngestError."""
        # The whole file first: one that breaks off in the middle contributes nothing, and can be ingested again.
        values = list(read_values(file, column))
        if not values:
            raise IngestError(f"{file}: holds no captions; nothing was ingested from it.")
        source = storable(str(file))
        for line, name, value in values:
            try:
                self._take(source, line, value)
            except UnusableText as error:
                self.rejected.append(RejectedCaption(source, line, name, str(error), str(value)[:KEPT_TEXT]))

    def _take(self, source: str, line: int, value: object) -> None:
        if isinstance(value, Unreadable):
            raise UnusableText(value.reason)
        caption = clean(value)
        identity = caption_id(caption)
        if identity in self._known:
            self.duplicates += 1
            return
        self._known.add(identity)
        self.rows.append({"caption_id": identity, "caption": caption, "source": source, "line": line})


def _write(rows: Sequence[Row], home: Home, shard_size: int, filled: Callable[[str], str] | None) -> list[str]:
    """The rows as new shards; returns their keys."""
    schema = SCHEMA if filled is None else SCHEMA.append(FILLED)
    shards = []
    for start, key in zip(range(0, len(rows), shard_size), new_keys(home), strict=False):
        chunk = rows[start : start + shard_size]
        if filled is not None:
            chunk = [{**row, FILLED.name: filled(row["caption"])} for row in chunk]
        write_rows(home.captions / f"{key}.parquet", chunk, schema)
        shards.append(key)
    return shards
