"""What this machine has found out about a home and may forget: a file for each thing, in `<local>/cache`.

It has no words of anybody's: hashes, names and counts alone. It may be thrown away at any time.
"""

import hashlib
import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import TypeAdapter

from imgdiff_assets.home import Home
from imgdiff_assets.ledger.files import atomic_file
from imgdiff_assets.ledger.store.entry import Entry

T = TypeVar("T")

YOUNG_SECONDS = 2.0
"""A file written so lately may be written again within what its time tells apart, and seem to be the same."""


class Memory(Generic[T]):
    """One thing that is known of one home, of a `kind`; what cannot be read or written is not known."""

    def __init__(self, home: Home, name: str, kind: TypeAdapter[T]) -> None:
        of_home = hashlib.sha256(os.fsencode(str(home.root))).hexdigest()[:16]
        self._path: Path = home.local / "cache" / name / f"{of_home}.json"
        self._kind = kind

    def read(self) -> T | None:
        try:
            return self._kind.validate_json(self._path.read_bytes())
        except (OSError, ValueError):
            return None

    def write(self, known: T) -> None:
        with suppress(OSError), atomic_file(self._path, durable=False, shared=True) as temporary:
            temporary.write_bytes(self._kind.dump_json(known))


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """What was worked out, and a hash of all that it rests on."""

    rests_on: str
    said: T


def worked_out_once(
    memory: Memory[Answer[T]], rests_on: str, work_out: Callable[[], T], files: Callable[[], Iterable[Entry]]
) -> T:
    """What `work_out` says, or said last, if what it rests on is the same: versions of `files`, for example.

    While one of these is young, what is said is not remembered.
    """
    known = memory.read()
    if known is not None and known.rests_on == rests_on:
        return known.said
    settled = all(time.time() - file.modified > YOUNG_SECONDS for file in files())
    said = work_out()
    if settled:
        memory.write(Answer(rests_on, said))
    return said
