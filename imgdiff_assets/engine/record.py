"""The record of one materialisation: what it was made with, and what came of it."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from imgdiff_assets.common.hashing import table_hash
from imgdiff_assets.engine.measurer import WorkerUse
from imgdiff_assets.engine.plan import TablePlan
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.stage import UPSTREAM
from imgdiff_assets.stages.steps import Filter

BOOKKEEPING = ("run_id", "measured_at")
"""Columns that say when and by whom a row was measured: equal tables may differ in them."""


@dataclass(slots=True)
class FilterStatistic:
    """What one filter did to one shard; quantiles are of the score over all rows it saw."""

    filter: str
    threshold: float | None
    seen: int
    passed: int
    rejected: int
    p05: float | None = None
    p50: float | None = None
    p95: float | None = None


@dataclass(slots=True)
class Materialization:
    """The record of one stage over one shard; stored in the table's footer and in the catalog.

    `settings` is the stage's section of the recipe, `made_with` the settings that its items depend on, `item_versions`
    the versions of what makes them, `models` the settings and the weights of each role. `error_share` is the largest
    of any measurement; `tries` counts the runs in which rows of it failed, one after another. `devices` and `versions`
    say on what its run measured: by device, the roles it loaded; by library, its version. `peak_memory` is in bytes by
    role, on its device; see `resources.loading.devices` for what that means on a CPU; of several `workers`, which are
    told by name, it is the largest. `left` has, by measurement, the
    versions of earlier code whose rows the table still has, for no run was told to measure them again. `corrected` are
    the regions with people's corrections that the table was made with, each with a hash of them.
    """

    asset: str
    shard: str
    run_id: str
    recipe: str
    recipe_hash: str
    settings_hash: str
    code_version: str
    inputs_hash: str
    output_hash: str = ""
    rows_in: int = 0
    rows: int = 0
    kept: int = 0
    reused: int = 0
    measured: int = 0
    errors: int = 0
    seconds: float = 0.0
    finished_at: str = ""
    rejections: dict[str, int] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)
    step_seconds: dict[str, float] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    made_with: dict[str, Any] = field(default_factory=dict)
    item_versions: dict[str, int] = field(default_factory=dict)
    seed: int = 0
    error_share: float = 0.0
    tries: int = 0
    left: dict[str, list[int]] = field(default_factory=dict)
    corrected: dict[str, str] = field(default_factory=dict)
    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    devices: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    peak_memory: dict[str, int] = field(default_factory=dict)
    workers: dict[str, WorkerUse] = field(default_factory=dict)
    filters: list[FilterStatistic] = field(default_factory=list)
    changed: bool = True

    @classmethod
    def of(cls, plan: TablePlan, recipe: Recipe, run_id: str) -> "Materialization":
        """The record of a run that is about to follow the plan."""
        return cls(
            asset=plan.how.stage.name,
            shard=plan.shard,
            run_id=run_id,
            recipe=recipe.name,
            recipe_hash=recipe.hash,
            settings_hash=plan.how.hash,
            code_version=plan.how.stage.code_version,
            inputs_hash=str(plan.inputs_hash),
            settings=dict(plan.how.settings),
            made_with=dict(plan.how.made_with),
            item_versions=dict(plan.how.item_versions),
            seed=plan.how.seed,
            models={role: dict(identity) for role, identity in plan.how.models.items()},
        )

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Materialization":
        """A record as it was stored, by this release or another."""
        known = {name.name for name in dataclasses.fields(cls)}
        values = {name: value for name, value in values.items() if name in known}
        return cls(
            **{
                **values,
                "filters": [FilterStatistic(**statistic) for statistic in values["filters"]],
                "workers": {name: WorkerUse(**use) for name, use in values.get("workers", {}).items()},
            }
        )

    def add_workers(self) -> None:
        """Tell devices and peaks of the workers where those of a role are told."""
        for use in self.workers.values():
            for role, peak in use.peak_memory.items():
                self.peak_memory[role] = max(self.peak_memory.get(role, 0), peak)
        for role in dict.fromkeys(role for use in self.workers.values() for role in use.devices):
            kinds = {use.devices[role] for use in self.workers.values() if role in use.devices}
            self.devices[role] = ", ".join(sorted(kinds))

    def to_json(self) -> dict[str, Any]:
        """The record as JSON values."""
        return dataclasses.asdict(self)


def kept_share_warnings(records: Sequence[Mapping[str, Any]], bounds: tuple[float, float]) -> list[str]:
    """One sentence for each record that keeps a share of its rows outside the bounds, naming the harshest filter."""
    least, largest = bounds
    warnings = []
    for record in records:
        judged = record["rows"] - record["rejections"].get(UPSTREAM, 0)
        share = record["kept"] / judged if judged else 1.0
        if judged and not least <= share <= largest:
            worst = max(record["filters"], key=lambda statistic: statistic["rejected"])
            warnings.append(
                f"{record['asset']} of {record['shard']} keeps {share:.1%} of {judged} rows, outside {least:.1%} to "
                f"{largest:.1%}; the filter {worst['filter']} rejects most: {worst['rejected']} of {worst['seen']}."
            )
    return warnings


def filter_statistic(step: Filter, columns: Mapping[str, Any], passes: Any, settings: Any) -> FilterStatistic:
    """Count what a filter did, and the spread of its score over the rows it saw."""
    threshold = step.limit(settings)
    passed = int(np.count_nonzero(passes))
    statistic = FilterStatistic(step.name, threshold, seen=len(passes), passed=passed, rejected=len(passes) - passed)
    if step.score:
        scores = np.asarray(columns[step.score], dtype=np.float64)
        scores = scores[np.isfinite(scores)]
        if scores.size:
            statistic.p05, statistic.p50, statistic.p95 = (
                round(float(q), 6) for q in np.quantile(scores, [0.05, 0.5, 0.95])
            )
    return statistic


def output_hash(table: pa.Table) -> str:
    """Hash of a table's content, bookkeeping and fingerprints aside: equal for tables that mean the same."""
    names = [name for name in table.column_names if name not in BOOKKEEPING and not name.endswith("_fingerprint")]
    return table_hash(table.select(names))
