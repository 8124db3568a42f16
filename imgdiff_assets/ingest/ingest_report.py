"""What became of the files of an ingestion; and the rows that cannot be used, kept with their reasons."""

import json
from dataclasses import asdict, dataclass, field

from imgdiff_assets.common.errors import ImgDiffError
from imgdiff_assets.common.hashing import content_id
from imgdiff_assets.common.plain_text import shortened
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.known_ids import KnownIds
from imgdiff_assets.ledger.store.store import lines_of, store_of

KEPT_TEXT = 200
"""Characters of a rejected text that are kept."""

KEPT_REASON = 500
REPORTED = 1_000
"""Rejected rows that a report holds; all of them are in `rejected.jsonl`."""


class IngestError(ImgDiffError, ValueError):
    """A file that cannot be ingested at all; the message is one sentence."""


@dataclass(frozen=True, slots=True)
class RejectedCaption:
    """A row that cannot be used: where it stood and why."""

    file: str
    line: int
    field: str
    reason: str
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.field}: {self.reason}"


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What became of some files: new shards, captions accepted, duplicates dropped, rows rejected, files refused.

    `rejected` holds the first of the `rejected_count` rows; `not_looked_at` names the files of folders that were left
    alone, with the reason. `stopped_at` is the row up to which a file was taken for which there was too little time.
    """

    shards: list[str] = field(default_factory=list)
    accepted: int = 0
    duplicates: int = 0
    rejected: list[RejectedCaption] = field(default_factory=list)
    files_failed: list[str] = field(default_factory=list)
    rejected_count: int = 0
    not_looked_at: list[str] = field(default_factory=list)
    stopped_at: int | None = None


class Rejections:
    """The rejected rows of one ingestion: all counted and kept in `<home>/captions/rejected.jsonl`, the first held.

    With `dry_run` they are not kept.
    """

    AT_ONCE = 1_000

    def __init__(self, home: Home, dry_run: bool = False) -> None:
        self._dry_run = dry_run
        self._path = home.captions / "rejected.jsonl"
        self._known: KnownIds | None = None
        self._lines: list[str] = []
        self.first: list[RejectedCaption] = []
        self.count = 0

    def add(self, file: str, line: int, name: str, reason: str, text: str = "") -> None:
        """Keep a row, with no more than the beginning of what it holds."""
        rejected = RejectedCaption(
            file, line, storable(shortened(name)), storable(shortened(reason, KEPT_REASON)), text[:KEPT_TEXT]
        )
        self.count += 1
        if len(self.first) < REPORTED:
            self.first.append(rejected)
        if not self._dry_run:
            self._lines.append(json.dumps(asdict(rejected)))
        if len(self._lines) >= self.AT_ONCE:
            self.write()

    def write(self) -> None:
        """Append what is not there yet: files that come again are rejected again."""
        if self._lines and self._known is None:
            self._known = KnownIds()
            for line in lines_of(self._path):
                self._known.add(_identity(line.decode("utf-8", "replace").rstrip("\n")))
        lines = [line for line in self._lines if self._known is not None and self._known.add(_identity(line))]
        if lines:
            store_of(self._path).append(self._path, lines)
        self._lines.clear()


def _identity(line: str) -> str:
    return content_id("rejected", line)


def storable(text: str) -> str:
    """A path whose name is not UTF-8 can be neither stored nor printed as it is."""
    return text.encode("utf-8", "backslashreplace").decode()
