"""What this machine found fresh when it last looked: a shard of which no file has changed since is fresh still.

Of such a shard only the versions of its files are asked for; its footers are not read again. By shard: what it holds,
a hash of the versions of all that the answer rests on, a hash of how the recipe makes its tables, and what callers
want to know of them.
"""

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from imgdiff_assets.common.hashing import content_hash
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.memory import YOUNG_SECONDS, Memory

YOUNG = datetime.timedelta(seconds=YOUNG_SECONDS)

BRIEF = ("asset", "shard", "finished_at", "errors")
"""What is remembered of a record."""


@dataclass(frozen=True, slots=True)
class Look:
    """A shard that was found fresh: `holds` is what it holds, `seen` and `how` are hashes, `records` brief ones."""

    holds: str
    seen: str
    how: str
    records: tuple[tuple[str, str, str, int], ...]

    def told(self) -> list[dict[str, Any]]:
        """The records, as far as they are remembered."""
        return [dict(zip(BRIEF, record, strict=True)) for record in self.records]


LOOKS: TypeAdapter[dict[str, Look]] = TypeAdapter(dict[str, Look])


def look(holds: str, seen: str, how: str, records: Iterable[Mapping[str, Any]]) -> Look | None:
    """What may be remembered of a fresh shard; None where a table was written just now, or does not tell when."""
    brief = tuple(tuple(record[name] for name in BRIEF) for record in records)
    try:
        latest = max(datetime.datetime.fromisoformat(finished) for _, _, finished, _ in brief)
        old = datetime.datetime.now(datetime.UTC) - latest > YOUNG
    except (ValueError, TypeError):
        return None
    return Look(holds, seen, how, brief) if old else None


class Looks:
    """The looks at one home; read when first asked for, written by `keep`."""

    def __init__(self, home: Home) -> None:
        self._memory = Memory(home, "looks", LOOKS)
        self._known = self._memory.read() or {}
        self._changed = False

    def of(self, shard: str) -> Look | None:
        """What was found at the last look at a shard."""
        return self._known.get(shard)

    def hash(self, shards: Iterable[str]) -> str:
        """Another whenever one of these shards is, or how it would be made; empty where one is not known as fresh."""
        found = [(shard, self._known.get(shard)) for shard in shards]
        known = [(shard, look.seen, look.how) for shard, look in found if look is not None]
        return content_hash(known) if len(known) == len(found) else ""

    def remember(self, shard: str, found: Look | None) -> None:
        """Have this stand for the last look at a shard; None where there is nothing to go by."""
        if found != self._known.get(shard):
            self._changed = True
            if found is None:
                self._known.pop(shard, None)
            else:
                self._known[shard] = found

    def keep(self) -> None:
        """Write down what was remembered since; a machine that cannot looks at everything again."""
        if self._changed:
            self._changed = False
            self._memory.write(self._known)
