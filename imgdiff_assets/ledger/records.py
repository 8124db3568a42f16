"""The shape of a materialisation's record, which is in its table's footer and a line of the history."""

from collections.abc import Mapping
from typing import Any, NotRequired

from pydantic import ConfigDict, TypeAdapter
from typing_extensions import TypedDict


class FilterCounts(TypedDict):
    """What one filter did; see `imgdiff_assets.engine.record.FilterStatistic`."""

    filter: str
    threshold: int | float | None
    seen: int
    passed: int
    rejected: int
    p05: int | float | None
    p50: int | float | None
    p95: int | float | None


class Record(TypedDict):
    """What readers rely on; see `imgdiff_assets.engine.record.Materialization`. A later release may say more."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]

    asset: str
    shard: str
    run_id: str
    recipe: str
    recipe_hash: str
    settings_hash: str
    code_version: str
    inputs_hash: str
    output_hash: str
    rows_in: int
    rows: int
    kept: int
    reused: int
    measured: int
    errors: int
    seconds: float
    finished_at: str
    rejections: dict[str, int]
    calls: dict[str, int]
    step_seconds: dict[str, float]
    settings: dict[str, Any]
    seed: int
    models: dict[str, dict[str, Any]]
    filters: list[FilterCounts]
    made_with: NotRequired[dict[str, Any]]
    item_versions: NotRequired[dict[str, int]]
    error_share: NotRequired[float]
    tries: NotRequired[int]
    left: NotRequired[dict[str, list[int]]]
    devices: NotRequired[dict[str, str]]
    versions: NotRequired[dict[str, str]]
    peak_memory: NotRequired[dict[str, int]]
    workers: NotRequired[dict[str, Any]]


RECORD: TypeAdapter[Any] = TypeAdapter(Record)


def devices_at_once(record: Mapping[str, Any]) -> int:
    """On how many devices a table was measured at once: those of its workers, or the one of its run's own process."""
    return max(len(record.get("workers", {})), 1)
