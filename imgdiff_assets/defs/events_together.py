"""Dagster's events of many shards in few transactions, and the shards read once for all of them.

A run over a hundred shards plans and reports eight hundred tables. Dagster hands such events to its storage in
batches, and its SQLite storage writes them one by one, each in three or four transactions of its own: half of such a
run's time. Here a batch is written by the same code in one transaction for each database. If that fails, Dagster
writes the events one by one. It also asks, before each thing that it writes or reads, whether the database has the
table for it, which here is asked until it has. Other storages are left as they are.
"""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any

import dagster as dg

SIZE_VARIABLE = "DAGSTER_EVENT_BATCH_SIZE"
SIZE = "1000"


def write_together(instance: dg.DagsterInstance) -> None:
    """Have the instance write events that come in batches together, where it keeps them in SQLite."""
    from dagster._core.storage.event_log import SqliteEventLogStorage

    if type(instance.event_log_storage) is not SqliteEventLogStorage:
        return
    storage: Any = instance.event_log_storage
    if "store_event_batch" in vars(storage):
        return
    os.environ.setdefault(SIZE_VARIABLE, SIZE)
    storage._db_lock = threading.RLock()  # one thread has two databases open

    def store(events: Sequence[Any]) -> None:
        with _one_transaction(storage):
            for event in events:
                storage.store_event(event)

    storage.store_event_batch = store
    storage.has_table = _asked_until_true(storage.has_table)


def _asked_until_true(ask: Callable[[str], bool]) -> Callable[[str], bool]:
    """A table that is there stays."""
    there: set[str] = set()

    def has(table_name: str) -> bool:
        if table_name not in there and ask(table_name):
            there.add(table_name)
        return table_name in there

    return has


@contextmanager
def _one_transaction(storage: Any) -> Iterator[None]:
    """Whatever this thread does with a database in the block is one transaction; others wait for its end."""
    connect, opened, own = storage._connect, dict[str, Any](), threading.get_ident()
    with storage._db_lock, ExitStack() as stack:

        @contextmanager
        def shared(shard: str) -> Iterator[Any]:
            if threading.get_ident() != own:
                with connect(shard) as connection:
                    yield connection
                return
            if shard not in opened:
                opened[shard] = stack.enter_context(connect(shard))
            yield opened[shard]

        storage._connect = shared
        try:
            yield
        finally:
            del storage._connect


@contextmanager
def shards_read_once(instance: dg.DagsterInstance) -> Iterator[None]:
    """For a block that tells of many shards of one run: Dagster asks its database for all shards each time."""
    asked: Any = instance
    listed = cache(instance.get_dynamic_partitions)
    known = cache(lambda name: frozenset(listed(name)))

    def has(partitions_def_name: str, partition_key: str) -> bool:
        return partition_key in known(partitions_def_name)

    asked.get_dynamic_partitions, asked.has_dynamic_partition = listed, has
    try:
        yield
    finally:
        del asked.get_dynamic_partitions, asked.has_dynamic_partition
