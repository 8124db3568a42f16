"""Which runs are under way, which shards they hold, and which of them only seem to be.

A run that is killed together with its code server (the machine lost power, a container was stopped) stays "started"
for Dagster, and with it its place in the pool. So every run holds a file lock, which dies with its process.
"""

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
from filelock import FileLock, Timeout

from imgdiff_assets.defs.instance_files import live_folder
from imgdiff_assets.defs.names import PLAIN, Names
from imgdiff_assets.home import Home

FINISHED = {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}
CANCELLED = {dg.DagsterRunStatus.CANCELING, dg.DagsterRunStatus.CANCELED}
START = "dagster/asset_partition_range_start"
END = "dagster/asset_partition_range_end"
PARTITION = "dagster/partition"
ASK_AGAIN_SECONDS = 3.0
YOUNG_SECONDS = 30.0
"""A run that started this lately may not hold its lock yet."""


@contextmanager
def alive(home: Home, run_id: str) -> Iterator[None]:
    """Hold the lock of a run of this process while the block lasts. A run's second process leaves it to the first."""
    path = _lock_file(home, run_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield
        return
    try:
        yield
    finally:
        # Away before it is free: a file that is there and free is one whose process was killed.
        path.unlink(missing_ok=True)
        lock.release()


@contextmanager
def stoppable(instance: dg.DagsterInstance, run_id: str) -> Iterator[None]:
    """Interrupt this process again while the block lasts and its run is to be cancelled.

    Dagster asks once, and a library that is just being imported may swallow that: the run would go on, unseen, with
    the GPU and its shards in its hands.
    """
    done = threading.Event()

    def watch() -> None:
        asked = False
        while not done.wait(ASK_AGAIN_SECONDS):
            run = instance.get_run_by_id(run_id)
            cancelled = run is not None and run.status in CANCELLED
            if cancelled and asked:
                os.kill(os.getpid(), signal.SIGINT)
            asked = cancelled

    thread = threading.Thread(target=watch, name=f"watch {run_id}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def fail_lost_runs(home: Home, instance: dg.DagsterInstance) -> list[str]:
    """Report runs as failed whose process is gone; Dagster frees their place and starts them again. Returns their ids.

    Runs of other machines are not known here, and left alone.
    """
    lost = []
    records = instance.get_run_records(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
    for record in records:
        run = record.dagster_run
        path = _lock_file(home, run.run_id)
        if not path.exists() or time.time() - (record.start_time or time.time()) < YOUNG_SECONDS:
            continue
        try:
            with FileLock(path, timeout=0):
                path.unlink(missing_ok=True)
        except Timeout:
            continue
        instance.report_run_failed(run, "The process of this run is gone: it was killed, or its machine was stopped.")
        lost.append(run.run_id)
    return lost


def shards_in_progress(instance: dg.DagsterInstance, keys: Sequence[str], names: Names = PLAIN) -> set[str]:
    """Those of `keys` (all shards, in order) that a queued or running run of this graph holds."""
    statuses = [status for status in dg.DagsterRunStatus if status not in FINISHED]
    held: set[str] = set()
    for run in instance.get_runs(dg.RunsFilter(statuses=statuses)):
        if run.asset_selection and not any(map(names.has, run.asset_selection)):
            continue
        first, last = run.tags.get(START), run.tags.get(END)
        if first is not None and last is not None:
            held.update(key for key in keys if first <= key <= last)
        elif PARTITION in run.tags:
            held.add(run.tags[PARTITION])
    return held


def _lock_file(home: Home, run_id: str) -> Path:
    return live_folder(home) / run_id
