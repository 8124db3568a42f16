"""The record of one materialisation, and the hashes that say whether a table is up to date."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from imgdiff_assets.common.hashing import content_hash, table_hash
from imgdiff_assets.engine.loaded_models import LoadedModels
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.stage import UPSTREAM, Filter, Stage

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

    `settings` is the stage's section of the recipe, `models` the settings and the weights of each role. `devices` and
    `versions` say on what its run measured: by device, the roles it loaded; by library, its version. `peak_memory` is
    in bytes by role, on its device; see `resources.loading.devices` for what that means on a CPU.
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
    seed: int = 0
    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    devices: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    peak_memory: dict[str, int] = field(default_factory=dict)
    filters: list[FilterStatistic] = field(default_factory=list)
    changed: bool = True

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Materialization":
        """A record as it was stored."""
        return cls(**{**values, "filters": [FilterStatistic(**statistic) for statistic in values["filters"]]})

    def to_json(self) -> dict[str, Any]:
        """The record as JSON values."""
        return dataclasses.asdict(self)


def fresh_record(
    ledger: Ledger, stage: Stage, shard: str, settings_hash: str, inputs_hash: str
) -> dict[str, Any] | None:
    """The stored record of a table that need not be made again; None for any other.

    That is a whole table, made of the same inputs with the same settings and code, no row of which failed. Only its
    footer is read.
    """
    if ledger.staging(stage.name, shard).exists():
        return None
    try:
        record = ledger.record(stage.name, shard)
        whole = record is not None and ledger.column_names(stage.name, shard) == stage.schema.names
    except (pa.ArrowException, OSError):
        return None
    if record is None or not whole or record["errors"]:
        return None
    now = {"settings_hash": settings_hash, "inputs_hash": inputs_hash, "code_version": stage.code_version}
    return record if all(record[name] == value for name, value in now.items()) else None


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
    threshold = getattr(settings, step.threshold) if step.threshold else None
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


def settings_hash(stage: Stage, recipe: Recipe, models: LoadedModels) -> str:
    """Hash of all that the stage's table depends on beside its inputs: thresholds, measuring settings, models."""
    return content_hash(
        stage.settings(recipe).model_dump(mode="json"),
        [
            (step.name, step.settings(recipe), [role_identity(stage, role, recipe, models) for role in step.roles])
            for step in stage.measurements
        ],
    )


def role_identity(stage: Stage, role: str, recipe: Recipe, models: LoadedModels) -> dict[str, Any]:
    """What the stage's measurements depend on of a role; a stage that is switched off needs no weights.

    Raises FileNotFoundError when those of another stage are missing.
    """
    try:
        return models.identity(role)
    except FileNotFoundError:
        if stage.enabled(recipe):
            raise
        return {**models.settings(role).identity(), "weights": None}


def output_hash(table: pa.Table) -> str:
    """Hash of a table's content, bookkeeping and fingerprints aside: equal for tables that mean the same."""
    names = [name for name in table.column_names if name not in BOOKKEEPING and not name.endswith("_fingerprint")]
    return table_hash(table.select(names))
