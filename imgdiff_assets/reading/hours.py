"""What measuring took, as the tables' histories tell it: seconds a row, seconds a shard, and all since a moment."""

import datetime
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.records import devices_at_once
from imgdiff_assets.stages.graph import STAGES
from imgdiff_assets.stages.stage import Stage

LOOKED_AT = 100
"""Shards whose histories tell how fast it goes: the last ones, which are nearest to what is to come."""


def seconds_per_row(ledger: Ledger, stage: Stage, step: str, shards: Sequence[str]) -> float | None:
    """Of one measurement, loading its models included; None where no run of these shards tells."""
    rows = seconds = 0.0
    for shard in shards[-LOOKED_AT:]:
        for record in ledger.history(stage.name, shard):
            if record["calls"].get(step):
                rows += record["calls"][step]
                seconds += record["step_seconds"].get(step, 0.0)
    return seconds / rows if rows else None


def seconds_per_shard(ledger: Ledger, shards: Sequence[str]) -> float | None:
    """Of models, from captions to samples, on average of these shards; None where no run tells."""
    totals = [
        sum(_seconds(stage, record) for stage, record in _records(ledger, shard)) for shard in shards[-LOOKED_AT:]
    ]
    made = [total for total in totals if total]
    return sum(made) / len(made) if made else None


def seconds_since(ledger: Ledger, shards: Sequence[str], moment: datetime.datetime) -> float:
    """Of models in all runs whose tables were written since a moment, which has a time zone."""
    return sum(
        _seconds(stage, record)
        for shard in shards
        for stage, record in _records(ledger, shard, moment)
        if datetime.datetime.fromisoformat(record["finished_at"]) >= moment
    )


def _records(
    ledger: Ledger, shard: str, since: datetime.datetime | None = None
) -> Iterator[tuple[Stage, Mapping[str, Any]]]:
    for stage in STAGES:
        if since is None or ledger.written_at(stage.name, shard) >= since.timestamp():
            for record in ledger.history(stage.name, shard):
                yield stage, record


def _seconds(stage: Stage, record: Mapping[str, Any]) -> float:
    seconds = sum(record["step_seconds"].get(step.name, 0.0) for step in stage.measurements if step.roles)
    return float(seconds) * devices_at_once(record)
