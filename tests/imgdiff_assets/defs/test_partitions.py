"""Shards are registered once, by however many processes at the same time."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from imgdiff_assets.defs.dagster_instance import dagster_instance
from imgdiff_assets.defs.partitions import register_shards
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.ingest_captions import ingest


def test_a_shard_that_another_process_registers_at_the_same_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, file = Home(tmp_path / "home"), tmp_path / "captions.txt"
    file.write_text("a red ball\na blue cup\n", encoding="utf-8")
    ingest([file], home, shard_size=1)
    with dagster_instance(home) as instance:
        known = instance.get_dynamic_partitions
        instance.add_dynamic_partitions("shard", ["shard-000001"])
        monkeypatch.setattr(dg.DagsterInstance, "get_dynamic_partitions", _once_empty(known))
        assert register_shards(instance, home) == ["shard-000000", "shard-000001"]
        assert sorted(known("shard")) == ["shard-000000", "shard-000001"]


def _once_empty(known: Any) -> Any:
    """What another process has written is not seen the first time."""
    answers = iter([list])

    def answer(self: dg.DagsterInstance, name: str) -> Any:
        return next(answers, lambda: known(name))()

    return answer
