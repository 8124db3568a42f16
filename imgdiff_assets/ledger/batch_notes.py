"""Notes of what a measurement has asked a batch service: each is durable before the batch is created.

They lie among the staged batches of their table, and go with them when it is committed. They hold hashes of the
questions, no words and no pictures.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import PurePath

from imgdiff_assets.common.errors import ImgDiffError
from imgdiff_assets.common.hashing import content_hash
from imgdiff_assets.ledger.store.store import read_bytes, store_of

ENDING = ".asked.json"


class DamagedNote(ImgDiffError, ValueError):
    """A note that cannot be read; without it, what it tells of would be paid for twice."""


@dataclass(frozen=True, slots=True)
class BatchNote:
    """Questions that a server is asked together, by id, since when, and the batch's id once it is known.

    The `tag`, a hash of the ids and of when they were noted, is what the server knows the batch by.
    """

    tag: str
    base_url: str
    model: str
    since: str
    asked: tuple[str, ...]
    batch: str | None = None

    @classmethod
    def of(cls, base_url: str, model: str, since: str, asked: Iterable[str]) -> "BatchNote":
        """Of what is about to be sent."""
        ids = tuple(sorted(asked))
        return cls(content_hash(base_url, model, since, *ids), base_url, model, since, ids)

    def created(self, batch: str) -> "BatchNote":
        """The same, of a batch that there is."""
        return replace(self, batch=batch)


class BatchNotes:
    """The notes of one measurement of a table, below the table's staging folder."""

    def __init__(self, folder: PurePath, step: str) -> None:
        self._folder, self._step = folder, step
        self._store = store_of(folder)

    def all(self) -> list[BatchNote]:
        """Oldest first. Raises DamagedNote."""
        found = [self._read(entry.address) for entry in self._store.find(self._folder, f"{self._step}-*{ENDING}")]
        return sorted(found, key=lambda note: (note.since, note.tag))

    def path(self, note: BatchNote) -> PurePath:
        return self._folder / f"{self._step}-{note.tag[:16]}{ENDING}"

    def write(self, note: BatchNote) -> None:
        """Durably; in place of what was noted of the same batch."""
        with self._store.writing(self.path(note)) as path:
            path.write_text(json.dumps(asdict(note)), encoding="utf-8")

    def delete(self, note: BatchNote) -> None:
        self._store.delete(self.path(note))

    def _read(self, path: PurePath) -> BatchNote:
        try:
            values = json.loads(read_bytes(path))
            return BatchNote(**{**values, "asked": tuple(values["asked"])})
        except (ValueError, TypeError, KeyError) as error:
            raise DamagedNote(
                f"{path} is damaged ({error}): it tells what a batch service was asked. Delete it to have that asked, "
                "and paid for, again."
            ) from error
