"""Events of many shards are written together: the databases say what they say of events written one by one."""

import os
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from imgdiff_assets.defs import events_together
from imgdiff_assets.defs.events_together import SIZE_VARIABLE, shards_read_once, write_together

SHARDS = [f"shard-{number:06d}" for number in range(12)]
FAILING = SHARDS[5]


@dg.asset(partitions_def=dg.DynamicPartitionsDefinition(name="shards"))
def table(context: dg.AssetExecutionContext) -> None:
    for key in context.partition_keys:
        context.add_asset_metadata({"rows": int(key[-2:])}, partition_key=key)


@contextmanager
def instance(folder: Path) -> Iterator[dg.DagsterInstance]:
    folder.mkdir()
    (folder / "dagster.yaml").write_text("telemetry: {enabled: false}\n", encoding="utf-8")
    with dg.DagsterInstance.from_config(str(folder)) as made:
        made.add_dynamic_partitions("shards", SHARDS)
        yield made


def run(made: dg.DagsterInstance) -> str:
    tags = {"dagster/asset_partition_range_start": SHARDS[0], "dagster/asset_partition_range_end": SHARDS[-1]}
    job = dg.Definitions(assets=[table]).resolve_implicit_global_asset_job_def()
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    return job.execute_in_process(instance=made, tags=tags, run_config=quiet).run_id


def told(made: dg.DagsterInstance, run_id: str) -> dict[str, Any]:
    """What Dagster, and its pages, know of the run's tables."""
    records = made.fetch_materializations(dg.AssetKey("table"), limit=100).records
    return {
        "materialised": {
            str(each.partition_key): each.asset_materialization.metadata["rows"].value for each in records
        },
        "events": Counter(str(event.dagster_event_type) for event in made.all_logs(run_id)),
        "partitions": made.get_materialized_partitions(dg.AssetKey("table")),
        "latest": made.get_latest_materialization_event(dg.AssetKey("table")).run_id == run_id,  # type: ignore[union-attr]
    }


@pytest.fixture(autouse=True)
def size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SIZE_VARIABLE, events_together.SIZE)


def test_together_they_say_what_they_say_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    transactions = Counter[str]()
    together = events_together._one_transaction

    @contextmanager
    def counted(storage: Any) -> Iterator[None]:
        transactions["together"] += 1
        with together(storage):
            yield

    monkeypatch.setattr(events_together, "_one_transaction", counted)
    with instance(tmp_path / "one") as one, instance(tmp_path / "two") as two:
        write_together(two)
        write_together(two)
        alone, beside = told(one, run(one)), told(two, run(two))
    assert beside == alone
    assert alone["materialised"] == {key: int(key[-2:]) for key in SHARDS}
    assert transactions["together"] == 2, "what is planned, and what was made"


def test_a_batch_that_cannot_be_written_leaves_nothing_and_is_written_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with instance(tmp_path / "home") as made:
        write_together(made)
        store, failed = made.event_log_storage.store_event, []

        def hindered(event: Any) -> None:
            step = event.dagster_event
            if step is not None and step.is_step_materialization and step.partition == FAILING and not failed:
                failed.append(event)
                raise sqlite3.OperationalError("disk I/O error")
            store(event)

        monkeypatch.setattr(made.event_log_storage, "store_event", hindered)
        known = told(made, run(made))
    assert known["materialised"] == {key: int(key[-2:]) for key in SHARDS}
    assert known["events"]["DagsterEventType.ASSET_MATERIALIZATION"] == len(SHARDS), "none of them twice"
    assert "Falling back" in capsys.readouterr().err


def test_shards_are_asked_for_once_in_the_block_and_anew_after_it(tmp_path: Path) -> None:
    with instance(tmp_path / "home") as made:
        with shards_read_once(made):
            assert made.get_dynamic_partitions("shards") == SHARDS
            made.add_dynamic_partitions("shards", ["shard-000099"])
            assert made.get_dynamic_partitions("shards") == SHARDS
            assert [made.has_dynamic_partition("shards", key) for key in (SHARDS[3], "shard-000099")] == [True, False]
        assert made.get_dynamic_partitions("shards") == [*SHARDS, "shard-000099"]
        assert made.has_dynamic_partition("shards", "shard-000099")
    assert os.environ[SIZE_VARIABLE] == events_together.SIZE


def test_whether_a_table_is_there_is_asked_until_it_is(tmp_path: Path) -> None:
    with instance(tmp_path / "home") as made:
        storage: Any = made.event_log_storage
        asked: list[str] = []
        there = storage.has_table
        storage.has_table = lambda name: (asked.append(name), there(name))[1]
        write_together(made)
        assert [storage.has_table("of a later release") for _ in range(2)] == [False, False]
        assert [storage.has_table("event_logs") for _ in range(3)] == [True] * 3
        assert asked == ["of a later release", "of a later release", "event_logs"]
