"""The figures of the first page: the funnel, score histograms with their thresholds, keep rates over time."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from imgdiff_assets.browser.index import Index
from imgdiff_assets.browser.joins import kind_in, score_of, source_of
from imgdiff_assets.reading.scan import keys_above
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import stages_of
from imgdiff_assets.stages.stage import UPSTREAM, Stage
from imgdiff_assets.statistics.funnel import Funnel, stage_funnel

MOST_BINS = 40
MOST_RUNS = 60


@dataclass(frozen=True, slots=True)
class Threshold:
    """A limit drawn into a histogram: the filter's setting, its value now, and on which side scores pass."""

    filter: str
    setting: str
    value: float
    keeps_larger: bool


@dataclass(frozen=True, slots=True)
class Histogram:
    """The rows of one stage that have the score, by its value: `edges` has one entry more than `kept`, `rejected`."""

    stage: str
    score: str
    edges: list[float]
    kept: list[int]
    rejected: list[int]
    thresholds: list[Threshold]

    @property
    def most(self) -> int:
        """The rows of the fullest bin; at least one."""
        return max(1, *(kept + rejected for kept, rejected in zip(self.kept, self.rejected, strict=True)))

    def share(self, value: float) -> float:
        """Where a value lies between the first edge (0) and the last (1)."""
        return (value - self.edges[0]) / (self.edges[-1] - self.edges[0])


def kept_by_kind(index: Index, stages: Sequence[Stage], shard: str = "") -> dict[str, dict[str, int]]:
    """By kind of difference, how many rows each stage kept; empty where there is but one kind."""
    counts: dict[str, dict[str, int]] = {}
    for stage in stages:
        kind = kind_in(stage)
        where = "t.kept AND (? = '' OR t.shard = ?)"
        for row in index.rows(
            f"SELECT {kind} AS kind, count(*) AS n FROM {source_of(stage, kind)} WHERE {where} GROUP BY 1",
            [shard, shard],
        ):
            if row["kind"] is not None:
                counts.setdefault(row["kind"], {})[stage.name] = row["n"]
    return dict(sorted(counts.items())) if len(counts) > 1 else {}


@dataclass(frozen=True, slots=True)
class KeepRate:
    """What one run kept of the rows of a stage that it judged; `finished_at` is of its last table."""

    run_id: str
    finished_at: str
    judged: int
    kept: int

    @property
    def rate(self) -> float:
        return self.kept / self.judged


def count_funnel(index: Index, recipe: Recipe, shard: str = "") -> Funnel:
    """The funnel over all shards, or one: what `imgdiff_assets.statistics.funnel` counts in the files."""
    shards = [shard] if shard else index.shards()
    return Funnel(tuple(shards), tuple(_count(index, stage, shard) for stage in stages_of(recipe)))


def _count(index: Index, stage: Stage, shard: str) -> Any:
    where, values = ("WHERE shard = ?", [shard]) if shard else ("WHERE true", [])
    verdicts = {
        row["rejected_by"]: row["n"]
        for row in index.rows(f"SELECT rejected_by, count(*) AS n FROM {stage.name} {where} GROUP BY ALL", values)
    }
    parents = index.table(
        f"SELECT {', '.join(stage.columns_above)} FROM {stage.name} {where} AND rejected_by IS DISTINCT FROM ?",
        [*values, UPSTREAM],
    )
    rows_in = pc.count_distinct(keys_above(stage, parents)).as_py()
    shards = len([key for asset, key in index.records if asset == stage.name and shard in ("", key)])
    return stage_funnel(stage, shards, rows_in, verdicts)


def histograms(index: Index, recipe: Recipe, shard: str = "") -> list[Histogram]:
    """One for each score that a filter compares with a threshold, in the order of the graph; of those with rows."""
    found = []
    for stage in stages_of(recipe):
        by_score: dict[str, list[Threshold]] = {}
        settings = stage.settings(recipe)
        for step in stage.filters:
            if step.score is not None and step.threshold is not None and step.score in stage.schema.names:
                limit = Threshold(
                    step.name, str(step.setting), float(step.limit(settings)), step.keeps_larger(settings)
                )
                by_score.setdefault(step.score, []).append(limit)
        for score, thresholds in by_score.items():
            histogram = _histogram(index, stage, score, thresholds, shard)
            if histogram is not None:
                found.append(histogram)
    return found


def _histogram(
    index: Index, stage: Stage, score: str, thresholds: Sequence[Threshold], shard: str
) -> Histogram | None:
    where, values = ("AND shard = ?", [shard]) if shard else ("", [])
    column = score_of(stage, score)
    table = index.table(
        f"SELECT {column}::DOUBLE AS score, rejected_by IS NULL AS kept FROM {stage.name} "
        f"WHERE {column} IS NOT NULL AND rejected_by IS DISTINCT FROM ? {where}",
        [UPSTREAM, *values],
    )
    scores, kept = table["score"].to_numpy(), table["kept"].to_numpy()
    if not len(scores):
        return None
    whole = "int" in str(stage.schema.field(score).type)
    edges = bin_edges(scores, [limit.value for limit in thresholds], 1.0 if whole else 0.0)
    # The very comparison that the gallery makes, so that a bar opens exactly the rows it counts.
    places = np.searchsorted(edges, scores, side="right") - 1
    counts = [np.bincount(places[mask], minlength=len(edges) - 1).tolist() for mask in (kept, ~kept)]
    return Histogram(stage.name, score, edges.tolist(), counts[0], counts[1], list(thresholds))


def bin_edges(
    scores: npt.NDArray[np.float64], marks: Sequence[float], least_step: float = 0.0
) -> npt.NDArray[np.float64]:
    """Round, evenly spaced edges around all scores and those marks that lie near them; at most MOST_BINS bins."""
    low, high = float(scores.min()), float(scores.max())
    span = max(high - low, 1e-3)
    near = [mark for mark in marks if low - span / 2 <= mark <= high + span / 2]
    low, high = min(low, *near, high), max(high, *near, low)
    step = 10.0 ** math.floor(math.log10(max(high - low, 1e-3) / MOST_BINS))
    step = next(step * factor for factor in (1, 2, 5, 10, 20) if (high - low) / (step * factor) <= MOST_BINS - 1)
    step = max(step, least_step)
    # One more at both ends than division says, for it rounds; then those that are not needed are left out.
    numbers = range(math.floor(low / step) - 1, math.floor(high / step) + 3)
    edges = np.array([round(number * step, 10) for number in numbers])
    return edges[np.searchsorted(edges, low, side="right") - 1 : np.searchsorted(edges, high, side="right") + 1]


def keep_rates(index: Index, stage: str, shard: str = "") -> list[KeepRate]:
    """The latest runs that judged rows of this stage, oldest first."""
    where, values = ("AND shard = ?", [shard]) if shard else ("", [])
    rows = index.rows(
        "SELECT run_id, max(finished_at) AS finished_at, sum(judged)::BIGINT AS judged, sum(kept)::BIGINT AS kept "
        f"FROM materialized WHERE asset = ? {where} GROUP BY run_id HAVING sum(judged) > 0 "
        f"ORDER BY max(finished_at) DESC LIMIT {MOST_RUNS}",
        [stage, *values],
    )
    return [KeepRate(**row) for row in reversed(rows)]
