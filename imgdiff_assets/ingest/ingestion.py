"""What ingestions of pictures share: rows of sources, one after the other, into shards with images beside them."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import PurePath
from typing import Any, ClassVar

import pyarrow as pa

from imgdiff_assets.common.progress import Progress
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.decoding import UnusableImage
from imgdiff_assets.ingest.given_rows import GivenRow, GivenSource, UnusableField
from imgdiff_assets.ingest.ingest_report import IngestError, IngestReport, Rejections, storable
from imgdiff_assets.ingest.photograph import Photograph, PictureReader
from imgdiff_assets.ingest.removed_sources import read_removed
from imgdiff_assets.ingest.shards import known_captions, new_keys, pair_images_path
from imgdiff_assets.ledger.store.entry import StoreError
from imgdiff_assets.ledger.tables import write_rows

DEFAULT_SHARD_SIZE = 200
MOST_BYTES_HELD = 2**30
"""Of encoded images that wait for their shard to be full; one with more is written as it is."""

COMPRESSION = 6


def check_shard_size(shard_size: int, noun: str) -> None:
    """Raises IngestError for a shard that would hold nothing."""
    if shard_size < 1:
        raise IngestError(f"--shard-size {shard_size}: a shard holds at least one {noun}.")


class GivenIngestion(ABC):
    """One call of an ingestion, which holds the lock: what its rows are is said by whoever extends it.

    `take` gets a row, and calls `keep` or counts a duplicate; it raises UnusableField for a row that cannot be used.
    """

    noun: ClassVar[str]
    schema: ClassVar[pa.Schema]
    images_schema: ClassVar[pa.Schema]

    def __init__(self, home: Home, reader: PictureReader, shard_size: int, dry_run: bool) -> None:
        self._home, self._reader, self._shard_size, self._dry_run = home, reader, shard_size, dry_run
        self.known, self._keys = known_captions(home), new_keys(home)
        self._rejections, self.removed = Rejections(home, dry_run), read_removed(home)
        self._rows: list[dict[str, Any]] = []
        self._bytes_held = 0
        self._shards: list[str] = []
        self._failed: list[str] = []
        self._not_looked_at: list[str] = []
        self._accepted = self.duplicates = 0

    @abstractmethod
    def take(self, row: GivenRow) -> None: ...

    def add(self, source: PurePath, open_it: Callable[[], GivenSource], progress: Progress) -> None:
        """Take the rows of one source, up to where it cannot be read further."""
        done = 0
        try:
            opened = open_it()
            self._not_looked_at += map(storable, opened.not_looked_at)
            for row in opened.rows:
                self.attempt(row, self.take)
                done += 1
                # Where the end is not known, this row is not the last.
                progress(f"ingest {source.name}", done, max(opened.total, done) if opened.total else done + 1)
            if done and not opened.total:
                progress(f"ingest {source.name}", done, done)
            if done == 0:
                raise IngestError(f"{source}: holds no {self.noun}s; nothing was ingested from it.")
        except (IngestError, StoreError) as error:
            self._failed.append(storable(str(error)))
        except OSError as error:  # of a folder that is looked through
            self._failed.append(storable(f"{source}: cannot be read: {error.strerror}."))

    def attempt(self, row: GivenRow, take: Callable[[GivenRow], None]) -> None:
        """Take a row; one that cannot be used is kept with its reason."""
        try:
            if row.problem is not None:
                raise row.problem
            take(row)
        except UnusableField as error:
            value = row.values.get(error.name)
            text = "" if error.name.endswith("image") else str(value or "")
            self._rejections.add(storable(row.file), row.line, error.name, error.reason, text)

    def read(self, row: GivenRow, name: str) -> Photograph:
        """A decoded picture of a row. Raises UnusableField."""
        return self.decoded(row.image(name), name)

    def decoded(self, data: bytes, name: str) -> Photograph:
        """The picture that the bytes of a field are. Raises UnusableField."""
        try:
            return self._reader.read(data)
        except UnusableImage as error:
            raise UnusableField(name, str(error)) from None

    def keep(self, row: dict[str, Any], images: Sequence[str]) -> None:
        """A row with all columns of both files; `images` are those that hold some."""
        self._rows.append(row)
        self._bytes_held += sum(len(row[name]["bytes"]) for name in images)
        if len(self._rows) == self._shard_size or self._bytes_held >= MOST_BYTES_HELD:
            self._write()

    def end(self) -> IngestReport:
        """Write what is not written yet, and tell."""
        if self._rows:
            self._write()
        self._rejections.write()
        return IngestReport(
            self._shards,
            self._accepted,
            self.duplicates,
            self._rejections.first,
            self._failed,
            self._rejections.count,
            self._not_looked_at,
        )

    def _write(self) -> None:
        """The images first: a shard begins to exist with its caption file."""
        key = next(self._keys)
        if not self._dry_run:
            write_rows(pair_images_path(self._home, key), self._rows, self.images_schema, expected=None)
            write_rows(self._home.captions / f"{key}.parquet", self._rows, self.schema, expected=None)
        self._shards.append(key)
        self._accepted += len(self._rows)
        self._rows, self._bytes_held = [], 0
