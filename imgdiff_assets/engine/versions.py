"""The versions of all files that tables are made of, or are: a folder is listed once for all of its shards."""

from collections.abc import Sequence

from imgdiff_assets.home import Home
from imgdiff_assets.ingest.shards import pair_images_path, shard_path
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.store.store import store_of


class Versions:
    """What was there when it was made: the captions of a home, and the tables of some assets."""

    def __init__(self, home: Home, assets: Sequence[str]) -> None:
        ledger = Ledger(home.ledger)
        self._home, self._assets = home, assets
        self._captions = {
            entry.address: entry.version for entry in store_of(home.captions).find(home.captions, "*.parquet")
        }
        self._tables = [ledger.versions(asset) for asset in assets]
        self._staged = frozenset(path.parts[-3:-1] for path in ledger.all_staged())

    def of(self, shard: str) -> list[str | None]:
        """Those of a shard's captions, of the images beside them, and of its tables; none while a run is under way.

        Raises ShardError for what is no key.
        """
        if any((asset, shard) in self._staged for asset in self._assets):
            return []
        captions = [self._captions.get(path(self._home, shard)) for path in (shard_path, pair_images_path)]
        return [*captions, *(tables.get(shard) for tables in self._tables)]
