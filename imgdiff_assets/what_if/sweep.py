"""Survival curves: what is kept as one setting of the recipe takes value after value."""

import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from operator import attrgetter
from typing import Any

import numpy as np
from PIL import Image

from imgdiff_assets.common.errors import ImgDiffError
from imgdiff_assets.home import Home
from imgdiff_assets.recipe.overrides import override_recipe
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import SAMPLES, stage_named, stages_of
from imgdiff_assets.what_if.groups import scores_by_stages
from imgdiff_assets.what_if.line_plot import Line, draw_plot
from imgdiff_assets.what_if.what_if import ToMeasure, flat, needed_of

MOST_VALUES = 1000


class SweepError(ImgDiffError, ValueError):
    """A sweep that cannot be made; the message says how to write one."""


@dataclass(frozen=True, slots=True)
class SweepPoint:
    """One value of the setting: rows kept by its stage, and samples at the end.

    `undecided` are rows of the stage that depend on measurements which have not been made, `samples_undecided` those
    of all stages: samples may come of them.
    """

    value: float
    kept: int
    undecided: int
    samples: int
    samples_undecided: int
    to_measure: tuple[ToMeasure, ...]


@dataclass(frozen=True, slots=True)
class Sweep:
    """The survival curve of one setting; `present` is its value in the recipe."""

    stage: str
    key: str
    present: float
    points: list[SweepPoint]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    def to_text(self) -> str:
        """A table with a row per value."""
        name = f"{self.stage}.{self.key}"
        width = max(36, len(name))
        lines = [f"{name:>{width}}{f'{self.stage} kept':>22}{'samples':>10}   would need measuring"]
        for point in self.points:
            needs = ", ".join(f"{item.stage}.{item.measurement} {item.rows:,}" for item in point.to_measure)
            lines.append(f"{point.value:>{width}.6g}{point.kept:>22,}{point.samples:>10,}   {needs}".rstrip())
        return "\n".join(lines)


def draw_sweep(result: Sweep) -> Image.Image:
    """The curve as a picture: rows kept by the stage and samples, a ring where some rows would need measuring."""
    points, name = result.points, f"{result.stage}.{result.key}"
    kept = Line(
        f"kept in {result.stage}",
        [(point.value, point.kept) for point in points],
        [number for number, point in enumerate(points) if point.undecided],
    )
    samples = Line(
        "samples",
        [(point.value, point.samples) for point in points],
        [number for number, point in enumerate(points) if point.samples_undecided],
    )
    x_name = f"{name}  (ring: without rows that would need measuring)" if kept.hollow or samples.hollow else name
    lines = [samples] if result.stage == SAMPLES else [kept, samples]
    return draw_plot(f"What {name} keeps", x_name, lines, result.present)


def sweep(home: Home, recipe: Recipe, shards: Sequence[str], text: str) -> Sweep:
    """Judge the tables of `shards` once for each value of `text`, which is `stage.key=first:last:count`.

    Raises SweepError, RecipeError for a value that the recipe refuses, and what `what_if` raises.
    """
    stage, key, values = _read(text, recipe)
    groups = scores_by_stages(home, shards)
    points = []
    for value in values:
        other = override_recipe(recipe, [f"{stage}.{key}={value!r}"])
        judgements = [judgement for scores in groups for judgement in scores.judge(other)]
        swept, samples = (
            [judgement for judgement in judgements if judgement.stored.stage.name == name] for name in (stage, SAMPLES)
        )
        points.append(
            SweepPoint(
                value,
                sum(judgement.kept for judgement in swept),
                sum(judgement.undecided for judgement in swept),
                sum(judgement.kept for judgement in samples),
                sum(judgement.undecided for judgement in judgements),
                tuple(needed_of(judgements)),
            )
        )
    return Sweep(stage, key, attrgetter(f"{stage}.{key}")(recipe), points)


def _read(text: str, recipe: Recipe) -> tuple[str, str, list[float]]:
    """Stage, key and values of `stage.key=first:last:count`; whole numbers where the setting is one."""
    match = re.fullmatch(r"(\w+)\.([\w.]+)=([^:]+):([^:]+):([^:]+)", text.strip())
    try:
        if match is None:
            raise ValueError
        first, last, count = float(match[3]), float(match[4]), int(match[5])
        if not (math.isfinite(first) and math.isfinite(last)):
            raise ValueError
    except ValueError:
        raise SweepError(
            f"--sweep {text}: write stage.key=first:last:count, as in filtered_pairs.min_similarity=0.7:0.99:30."
        ) from None
    stage, key = match[1], match[2]
    known = [each.name for each in stages_of(recipe)]
    if stage not in known:
        raise SweepError(f"--sweep {text}: {stage!r} is not a stage; the stages are {', '.join(known)}.")
    settings = dict(flat(stage_named(stage).settings(recipe).model_dump()))
    numbers = [name for name, value in settings.items() if type(value) in (int, float)]
    if key not in numbers:
        raise SweepError(
            f"--sweep {text}: {key!r} is not a number of {stage}; its numbers are {', '.join(numbers) or 'none'}."
        )
    if not 2 <= count <= MOST_VALUES:
        raise SweepError(f"--sweep {text}: the count is from 2 to {MOST_VALUES}.")
    values = np.linspace(first, last, count)
    if isinstance(settings[key], int):
        return stage, key, list(dict.fromkeys(int(value) for value in np.rint(values)))
    return stage, key, [round(float(value), 6) for value in values]
