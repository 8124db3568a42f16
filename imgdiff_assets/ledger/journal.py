"""What people say of a home beside their verdicts: files that are only ever appended to, a line each time.

Each kind of line is a journal of its own in `<home>/journals/`; in a bucket each line is an object. A later line holds
over an earlier one; what was said is never written over.
"""

import datetime
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import PurePath
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter

from imgdiff_assets.common.errors import ImgDiffError
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.lines import Lines, read_lines
from imgdiff_assets.ledger.store.entry import Entry
from imgdiff_assets.ledger.store.store import store_of

T = TypeVar("T")
LONGEST_TEXT = 2000


class JournalError(ImgDiffError, ValueError):
    """A line that cannot be recorded."""


@dataclass(frozen=True, slots=True)
class Journal(Generic[T]):
    """Lines of one kind, each a dataclass that `line` reads; `check` raises ValueError for one that says nothing."""

    name: str
    line: TypeAdapter[T]
    check: Callable[[T], Any]

    def address(self, home: Home) -> PurePath:
        return home.journals / f"{self.name}.jsonl"

    def add(self, home: Home, said: Sequence[T]) -> None:
        """Record lines durably, all or none. Raises JournalError, OSError."""
        lines = []
        for each in said:
            try:
                self.check(each)
                text = json.dumps(asdict(each), ensure_ascii=True)  # type: ignore[call-overload]
                self.line.validate_json(text)
            except ValueError as error:  # also half of a letter beyond 16 bits, which could not be read back
                raise JournalError(" ".join(str(error).split())) from error
            lines.append(text)
        if lines:
            store_of(home.journals).append(self.address(home), lines)

    def read(self, home: Home) -> Lines[T]:
        """All lines that say something, in order, and the numbers of those that cannot be read."""
        return _read(self, self.address(home), self.state(home))

    def state(self, home: Home) -> tuple[Entry, ...]:
        """Another whenever there is a new line."""
        address = self.address(home)
        return tuple(store_of(address).pieces(address))


@lru_cache(maxsize=16)
def _read(journal: Journal[Any], address: PurePath, pieces: tuple[Entry, ...]) -> Lines[Any]:
    """The file as it was at that moment: read once, however many ask."""
    lines, values = read_lines(address, journal.line), []
    for value in lines.values:
        try:
            journal.check(value)
        except ValueError:  # somebody else's line
            continue
        values.append(value)
    return Lines(tuple(values), lines.unreadable)


def journals_of(home: Home) -> list[PurePath]:
    """The addresses of all journals that a home has, whichever release wrote them."""
    found = store_of(home.journals).below(home.journals)
    names = {entry.address.relative_to(home.journals).parts[0] for entry in found}
    return [home.journals / name for name in sorted(names) if name.endswith(".jsonl")]


def now() -> str:
    """UTC in ISO 8601, as lines say when they were written."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
