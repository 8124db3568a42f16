"""Which runs bring stale shards up to date: exactly those shards, in as few runs as there can be.

Dagster gives a run one range of shards and one set of assets. So shards share a run when they follow one another and
the same of their tables are stale: one that failed is apart from its neighbours, which go on without it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

BRIDGED = 8
"""Fresh shards that a range may run over. Each costs the run a look at its footers and an event per table, half a
second; another run costs a process and loads every model again."""


@dataclass(frozen=True, slots=True)
class Request:
    """One run: the stages to run over the shards from `first` to `last`."""

    first: str
    last: str
    stages: tuple[str, ...]

    @property
    def tags(self) -> dict[str, str]:
        """What tells Dagster the range."""
        return {"dagster/asset_partition_range_start": self.first, "dagster/asset_partition_range_end": self.last}

    @property
    def shards(self) -> str:
        """The range in words."""
        return self.first if self.first == self.last else f"{self.first} to {self.last}"


def group(
    keys: Sequence[str], stale: Mapping[str, Sequence[str]], fresh: Collection[str], most: int | None = None
) -> list[Request]:
    """The runs for the stages that are `stale` by shard; `keys` are all shards in order, `fresh` may be run over.

    No run has more than `most` stale shards.
    """
    requests: list[Request] = []
    held = 0
    gap: int | None = None
    for key in keys:
        stages = tuple(stale.get(key, ()))
        if stages:
            last = requests[-1] if requests else None
            near = last is not None and last.stages == stages and gap is not None and gap <= BRIDGED
            if last is not None and near and held != most:
                requests[-1] = Request(last.first, key, stages)
                held += 1
            else:
                requests.append(Request(key, key, stages))
                held = 1
            gap = 0
        elif gap is not None:
            gap = gap + 1 if key in fresh else None
    return requests
