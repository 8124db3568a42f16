"""Shards that nobody is at work on, for as long as they are moved or changed."""

import os
import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import dagster as dg

from imgdiff_assets.defs.catalog_index import rebuild
from imgdiff_assets.defs.dagster_instance import dagster_instance
from imgdiff_assets.defs.partitions import SHARDS, register_shards
from imgdiff_assets.defs.runs_in_progress import fail_lost_runs, shards_in_progress
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.removed_shards import remove_shard, restore_shard
from imgdiff_assets.ingest.shards import ShardError, shard_keys
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.stages.graph import STAGE_NAMES


def remove_shards(home: Home, keys: Sequence[str]) -> None:
    """Move shards into the trash, out of Dagster's partitions and the catalog too.

    Raises ShardError for one that there is not, or that a run holds; then none is moved.
    """
    with unheld(home, keys) as instance:
        for key in keys:
            remove_shard(home, key)
            instance.delete_dynamic_partition(str(SHARDS.name), key)
    rebuild(home)


def restore_shards(home: Home, keys: Sequence[str]) -> None:
    """Undo `remove_shards`. Raises ShardError."""
    with unheld(home, keys) as instance:
        for key in keys:
            restore_shard(home, key)
        register_shards(instance, home)
    rebuild(home)


@contextmanager
def unheld(home: Home, keys: Sequence[str]) -> Iterator[dg.DagsterInstance]:
    """Hold shards while the block lasts. Raises ShardError where a run holds one."""
    with dagster_instance(home) as instance, ExitStack() as locks:
        fail_lost_runs(home, instance)
        if held := sorted(shards_in_progress(instance, shard_keys(home)) & set(keys)):
            raise ShardError(
                f"{', '.join(held)}: a run holds it; cancel it, or wait for its end. Nothing was changed."
            )
        for key in keys:
            _lock(home, key, locks)
        yield instance


def while_unheld(home: Home, keys: Sequence[str], work: Callable[[str], None]) -> Iterator[tuple[str, str | None]]:
    """Hold one shard after another and work on it; gives each key, and why it was passed over if a run holds it.

    As many shards as a process may not have files open for.
    """
    with dagster_instance(home) as instance:
        fail_lost_runs(home, instance)
        held = shards_in_progress(instance, shard_keys(home))
        for key in keys:
            if key in held:
                yield key, "a run holds it"
                continue
            try:
                with ExitStack() as locks:
                    _lock(home, key, locks)
                    work(key)
            except ShardError as error:
                yield key, str(error)
            else:
                yield key, None


def _lock(home: Home, key: str, locks: ExitStack) -> None:
    """Hold the tables of a shard until the stack is left. Raises ShardError."""
    ledger, holder = Ledger(home.ledger), f"process {os.getpid()} on {platform.node()}, which changes the shard"

    def refuse(text: str) -> None:
        raise ShardError(
            f"{text.partition('; waiting')[0]}: stop that first, or wait for its end. Nothing was changed."
        )

    for stage in STAGE_NAMES:
        locks.enter_context(ledger.lock(stage, key, holder, refuse))
