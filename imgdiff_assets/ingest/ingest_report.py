"""What became of the files of an ingestion; and the lines that cannot be used, kept with their reasons."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from imgdiff_assets.common.errors import ImgDiffError
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.files import append_lines

KEPT_TEXT = 200
"""Characters of a rejected text that are kept."""


class IngestError(ImgDiffError, ValueError):
    """A file that cannot be ingested at all; the message is one sentence."""


@dataclass(frozen=True, slots=True)
class RejectedCaption:
    """A line that cannot be used: where it stood and why."""

    file: str
    line: int
    field: str
    reason: str
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.field}: {self.reason}"


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What became of some files: new shards, captions accepted, duplicates dropped, lines rejected, files refused."""

    shards: list[str] = field(default_factory=list)
    accepted: int = 0
    duplicates: int = 0
    rejected: list[RejectedCaption] = field(default_factory=list)
    files_failed: list[str] = field(default_factory=list)


def keep_rejected(home: Home, rejected: Sequence[RejectedCaption]) -> None:
    """Append to `<home>/captions/rejected.jsonl` what is not there yet: files that come again are rejected again."""
    path = home.captions / "rejected.jsonl"
    known = set(path.read_bytes().splitlines()) if rejected and path.exists() else set()
    lines = [line for rejection in rejected if (line := json.dumps(asdict(rejection))).encode() not in known]
    if lines:
        append_lines(path, lines)


def storable(text: str) -> str:
    """A path whose name is not UTF-8 can be neither stored nor printed as it is."""
    return text.encode("utf-8", "backslashreplace").decode()
