"""A ledger that opens a table once for all that is asked of its footer, until it is told to look anew."""

from pathlib import PurePath
from typing import Any

from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.tables import Said


class SeenLedger(Ledger):
    """For a question about one shard, whose tables are asked for by all that is made of them.

    What raised is asked again. What it gives is not to be changed.
    """

    def __init__(self, root: PurePath) -> None:
        super().__init__(root)
        self._said: dict[tuple[str, str], Said] = {}
        self._records: dict[tuple[str, str], dict[str, Any] | None] = {}

    def look_anew(self) -> None:
        """What is asked from now on is answered as of now."""
        self._said.clear()
        self._records.clear()

    def said(self, asset: str, shard: str) -> Said:
        if (known := self._said.get((asset, shard))) is None:
            known = self._said[asset, shard] = super().said(asset, shard)
        return known

    def record(self, asset: str, shard: str) -> dict[str, Any] | None:
        if (asset, shard) not in self._records:
            self._records[asset, shard] = super().record(asset, shard)
        return self._records[asset, shard]
