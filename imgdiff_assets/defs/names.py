"""What the parts of one graph are called. With a prefix, several graphs stand side by side in one code location."""

from collections.abc import Iterable
from dataclasses import dataclass

import dagster as dg


@dataclass(frozen=True, slots=True)
class Names:
    """Without a prefix everything has its plain name."""

    prefix: tuple[str, ...] = ()

    def of(self, name: str) -> str:
        """A job, schedule, sensor, resource or set of checks."""
        return "_".join((*self.prefix, name))

    def key(self, table: str) -> dg.AssetKey:
        """The asset of a table."""
        return dg.AssetKey([*self.prefix, table])

    def has(self, key: dg.AssetKey) -> bool:
        """Whether an asset is of this graph."""
        return tuple(key.path[:-1]) == self.prefix

    def assets(self, tables: Iterable[str]) -> dg.AssetSelection:
        """The assets of some tables."""
        return dg.AssetSelection.assets(*map(self.key, tables))

    @property
    def shards(self) -> dg.DynamicPartitionsDefinition:
        """The set of partitions that all stages share."""
        return dg.DynamicPartitionsDefinition(name=self.of("shard"))


PLAIN = Names()
"""Of the one graph of `imgdiff ui` and `imgdiff run`."""
