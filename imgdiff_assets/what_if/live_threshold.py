"""One threshold tried out value after value, over tables that are read once: what a line that is dragged asks."""

import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from imgdiff_assets.common.aliases import Booleans, Floats
from imgdiff_assets.recipe.mistakes import RecipeError
from imgdiff_assets.recipe.overrides import override_recipe
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import STAGE_NAMES, stages_of
from imgdiff_assets.stages.stage import Stage
from imgdiff_assets.stages.steps import Filter
from imgdiff_assets.statistics.funnel import StageFunnel
from imgdiff_assets.what_if.judgement import Judgement, StoredScores
from imgdiff_assets.what_if.stored_stage import Fate
from imgdiff_assets.what_if.what_if import ToMeasure, measurements_needed

AT_THE_EDGE = 6
"""Rows shown of each side."""


@dataclass(frozen=True, slots=True)
class Tried:
    """What one value would do: every stage now and then, and the ids of the filter's rows nearest to the value.

    `kept` are those that the whole stage would keep, `rejected` those that the filter would reject; nearest first.
    """

    stages: list[tuple[StageFunnel, StageFunnel]]
    undecided: int
    to_measure: list[ToMeasure]
    kept: list[str]
    rejected: list[str]


class LiveThreshold:
    """The threshold of one filter over some tables; asked from several threads, it answers one after the other."""

    def __init__(self, scores: StoredScores, recipe: Recipe, stage: Stage, judge: Filter) -> None:
        self._scores, self._recipe, self._stage, self._judge = scores, recipe, stage, judge
        self._lock = threading.Lock()
        self._place = STAGE_NAMES.index(stage.name)
        shown = {each.name for each in stages_of(recipe)}
        self._shown = [number for number, name in enumerate(STAGE_NAMES) if name in shown]
        present = scores.present()
        self._present = [present[number].funnel() for number in self._shown]
        column = str(judge.score)
        stored = scores.stages[self._place]
        # A stage is judged by its own settings, and what those above came to.
        self._before = scores.judge(recipe)[: self._place]
        self._column: Floats = np.asarray(stored.columns([column])[column], dtype=np.float64)
        # Any value but the recipe's has all rows judged: what that reads and derives, once, no dragged line waits for.
        with suppress(RecipeError):
            lowest = float(np.nanmin(self._column))
            self.at(int(lowest) if lowest.is_integer() else lowest)

    @property
    def key(self) -> str:
        """The setting, as `--set` writes it."""
        return f"{self._stage.name}.{self._judge.setting}"

    def at(self, value: float) -> Tried:
        """Judge everything with this value. Raises RecipeError for one that the recipe refuses."""
        recipe = override_recipe(self._recipe, [f"{self.key}={value!r}"])
        with self._lock:
            judgements = self._scores.judge(recipe, self._before)
        shown = [judgements[number] for number in self._shown]
        changed = judgements[self._place]
        rejected = changed.fates == changed.stored.fate(self._judge.name)
        return Tried(
            stages=list(zip(self._present, [one.funnel() for one in shown], strict=True)),
            undecided=sum(one.undecided for one in shown),
            to_measure=[item for one in shown for item in measurements_needed(one)],
            kept=self._nearest(changed, changed.fates == Fate.KEPT, value),
            rejected=self._nearest(changed, rejected, value),
        )

    def _nearest(self, judgement: Judgement, rows: Booleans, value: float) -> list[str]:
        """The ids of those of the rows whose scores are nearest to a value, nearest first."""
        where = np.flatnonzero(rows & ~np.isnan(self._column))
        distances = np.abs(self._column[where] - value)
        if len(where) > AT_THE_EDGE:
            near = np.argpartition(distances, AT_THE_EDGE)[:AT_THE_EDGE]
            where, distances = where[near], distances[near]
        places: Sequence[int] = where[np.argsort(distances, kind="stable")].tolist()
        return [judgement.stored.ids[place].as_py() for place in places]
