"""The one set of partitions that all stages share: shards, in the order they were ingested."""

from collections.abc import Sequence
from itertools import takewhile

import dagster as dg

from imgdiff_assets.defs.names import PLAIN, Names
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.shards import shard_keys

SHARDS = PLAIN.shards


def register_shards(instance: dg.DagsterInstance, home: Home, names: Names = PLAIN) -> list[str]:
    """Make the ingested shards, in their order, the partitions that there are; returns all keys. Safe to call again.

    Ranges go by that order, so what comes after a partition in the wrong place is taken out and put in again.
    """
    from sqlalchemy.exc import IntegrityError  # here, for the definitions load faster without it

    name = str(names.shards.name)
    known = instance.get_dynamic_partitions(name)
    keys = shard_keys(home)  # read last: whatever another process has made a partition by now is among them
    in_place = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(known, keys, strict=False)))
    for key in known[in_place:]:
        instance.delete_dynamic_partition(name, key)
    if keys[in_place:]:
        try:
            instance.add_dynamic_partitions(name, keys[in_place:])
        except IntegrityError:  # another process was faster with some of them, and none of ours is in
            return register_shards(instance, home, names)
    return keys


def no_shards(home: Home, partitions: Sequence[str]) -> str:
    """What is said of partitions that were typed by hand and are no shards; nothing where all are."""
    keys = set(shard_keys(home))
    unknown = [key for key in partitions if key not in keys]
    if not unknown:
        return ""
    there = f"there are {min(keys)} to {max(keys)}" if keys else "there is none yet"
    return (
        f"{', '.join(unknown)}: no such shard; {there}. Shards are made of captions: put a file of them into "
        f"{home.inbox}, or `imgdiff ingest FILE`. Nothing was run; a partition that is no shard goes away by itself."
    )
