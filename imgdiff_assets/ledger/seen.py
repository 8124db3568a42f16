"""A ledger whose footers are read once, for questions about many shards: a table is read by all that is made of it."""

from functools import lru_cache
from pathlib import PurePath
from typing import Any

from imgdiff_assets.ledger.ledger import Ledger

KEPT = 64
"""Tables that are remembered: those of a few shards, which are asked for one after another."""


class SeenLedger(Ledger):
    """Answers as of when it was first asked of a table. Raises as `Ledger`; what raised is asked again."""

    def __init__(self, root: PurePath) -> None:
        super().__init__(root)
        self._record = lru_cache(KEPT)(super().record)
        self._names = lru_cache(KEPT)(super().column_names)

    def record(self, asset: str, shard: str) -> dict[str, Any] | None:
        return self._record(asset, shard)

    def column_names(self, asset: str, shard: str) -> list[str]:
        return self._names(asset, shard)
