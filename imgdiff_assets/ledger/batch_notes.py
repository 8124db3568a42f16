"""Notes of what a measurement has asked a batch service: each is durable before the batch is created.

They lie among what is staged of their table, and go with it when it is committed. They hold hashes of the questions,
no words and no pictures.
"""

import datetime
import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import PurePath

from imgdiff_assets.common.errors import ImgDiffError
from imgdiff_assets.common.hashing import content_hash
from imgdiff_assets.common.plain_text import counted
from imgdiff_assets.ledger import places
from imgdiff_assets.ledger.store.store import read_bytes, store_of

NOTE = ".asked.json"


class DamagedNote(ImgDiffError, ValueError):
    """A note that cannot be read; without it, what it tells of would be paid for twice."""


@dataclass(frozen=True, slots=True)
class BatchNote:
    """Questions that a server is asked together, by id, since when (UTC), and the batch's id once it is known.

    The server knows the batch by its `file` of questions, and by the `tag`: a hash of the ids and of when they were
    noted. `looked` is when the batch was last found under way.
    """

    tag: str
    base_url: str
    model: str
    since: str
    asked: tuple[str, ...]
    file: str
    batch: str | None = None
    looked: str | None = None

    @classmethod
    def of(cls, base_url: str, model: str, asked: Iterable[str], file: str) -> "BatchNote":
        """Of a batch that is about to be created."""
        ids, since = tuple(sorted(asked)), now().isoformat(timespec="microseconds")
        return cls(content_hash(base_url, model, since, *ids), base_url, model, since, ids, file)

    def created(self, batch: str) -> "BatchNote":
        """The same, of a batch that there is."""
        return replace(self, batch=batch)

    def under_way(self) -> "BatchNote":
        """The same, of a batch that was looked at just now."""
        return replace(self, looked=now().isoformat(timespec="microseconds"))

    def is_younger(self, span: datetime.timedelta) -> bool:
        return now() - datetime.datetime.fromisoformat(self.since) < span

    def was_looked_at(self, span: datetime.timedelta) -> bool:
        """Whether it was within this time."""
        return self.looked is not None and now() - datetime.datetime.fromisoformat(self.looked) < span

    def to_text(self) -> str:
        """What is waited for, since when."""
        what = f"batch {self.batch}" if self.batch is not None else "a batch"
        return f"{counted(len(self.asked), 'question')} since {self.since[:16]} UTC, {what} of {self.base_url}"


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


class BatchNotes:
    """The notes of one measurement of a table, below the table's staging folder."""

    def __init__(self, folder: PurePath, step: str) -> None:
        self._folder, self._step = folder, step
        self._store = store_of(folder)

    def all(self) -> list[BatchNote]:
        """Oldest first. Raises DamagedNote."""
        found = [_read(entry.address) for entry in self._store.find(self._folder, f"{self._step}-*{NOTE}")]
        return sorted(found, key=lambda note: (note.since, note.tag))

    def path(self, note: BatchNote) -> PurePath:
        return self._folder / f"{self._step}-{note.tag[:16]}{NOTE}"

    def write(self, note: BatchNote) -> None:
        """Durably; in place of what was noted of the same batch."""
        with self._store.writing(self.path(note)) as path:
            path.write_text(json.dumps(asdict(note)), encoding="utf-8")

    def delete(self, note: BatchNote) -> None:
        self._store.delete(self.path(note))


def noted(root: PurePath) -> Iterator[tuple[str, str, BatchNote]]:
    """The notes below a ledger's root, each with its asset and shard. Raises DamagedNote."""
    for entry in store_of(root).find(root / places.STAGING, f"*/*/*{NOTE}"):
        with suppress(FileNotFoundError):  # collected meanwhile
            yield entry.address.parent.parent.name, entry.address.parent.name, _read(entry.address)


def _read(path: PurePath) -> BatchNote:
    try:
        values = json.loads(read_bytes(path))
        return BatchNote(**{**values, "asked": tuple(values["asked"])})
    except (ValueError, TypeError, KeyError) as error:
        raise DamagedNote(
            f"{path} is damaged ({error}): it tells what a batch service was asked. Delete it to have that asked, and "
            "paid for, again."
        ) from error
