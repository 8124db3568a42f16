"""The one set of partitions that all stages share: shards, in the order they were ingested."""

import dagster as dg

from imgdiff_assets.home import Home
from imgdiff_assets.ingest.shards import shard_keys

SHARDS = dg.DynamicPartitionsDefinition(name="shard")


def register_shards(instance: dg.DagsterInstance, home: Home) -> list[str]:
    """Make every ingested shard a partition; returns all keys. Safe to call again."""
    from sqlalchemy.exc import IntegrityError  # here, for the definitions load faster without it

    keys = shard_keys(home)
    known = set(instance.get_dynamic_partitions("shard"))
    missing = [key for key in keys if key not in known]
    if missing:
        try:
            instance.add_dynamic_partitions("shard", missing)
        except IntegrityError:  # another process was faster with some of them, and none of ours is in
            return register_shards(instance, home)
    return keys
