"""Shards that were taken out of a home: they lie in its trash, whole, until they are put back.

A shard exists while its caption file is in its place: so that is the first thing to go, and the last to come back.
The key of a shard is never given to another.
"""

from collections.abc import Iterator

from imgdiff_assets.home import Home
from imgdiff_assets.ingest.shards import (
    ShardError,
    adding_shards,
    caption_path,
    check_key,
    ids_of,
    known_captions,
    pair_images_path,
    removed_keys,
    shard_keys,
)
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.store.store import store_of
from imgdiff_assets.ledger.trash import put_back, take_out

CAPTIONS, TABLES = "captions", "ledger"


def remove_shard(home: Home, key: str) -> None:
    """Move a shard into the trash, for whoever knows that no run holds it. Raises ShardError."""
    with adding_shards(home):
        if check_key(key) not in removed_keys(home):  # else it goes on where it was stopped
            caption_path(home, key)
        trash, store = home.trash / key, store_of(home.trash)
        for file in (home.captions / f"{key}.parquet", pair_images_path(home, key)):
            if store.version(file) is not None:
                store.rename(file, trash / CAPTIONS / file.name)
        take_out(Ledger(home.ledger), key, trash / TABLES)


def restore_shard(home: Home, key: str) -> None:
    """Put a shard back as it was.

    Raises ShardError for one that is not in the trash, or whose captions came in again meanwhile.
    """
    with adding_shards(home):
        if check_key(key) not in removed_keys(home):
            known = ", ".join(removed_keys(home)) or "nothing"
            raise ShardError(f"{key}: is not in the trash, {home.trash}, which holds {known}.")
        trash, store = home.trash / key, store_of(home.trash)
        captions = trash / CAPTIONS / f"{key}.parquet"
        if store.version(captions) is not None:
            there = known_captions(home)
            if again := sum(identity in there for identity in ids_of(captions)):
                raise ShardError(
                    f"{key}: {again:,} of its captions came in again since it was removed: remove the shards that "
                    f"hold them first ({', '.join(_holding(home, key))})."
                )
        put_back(Ledger(home.ledger), key, trash / TABLES)
        for file in (pair_images_path(home, key), home.captions / f"{key}.parquet"):
            if store.version(trash / CAPTIONS / file.name) is not None:
                store.rename(trash / CAPTIONS / file.name, file)
        store.delete(trash)


def _holding(home: Home, key: str) -> Iterator[str]:
    """The shards that have captions of one in the trash."""
    own = set(ids_of(home.trash / key / CAPTIONS / f"{key}.parquet"))
    return (other for other in shard_keys(home) if own & set(ids_of(caption_path(home, other))))
