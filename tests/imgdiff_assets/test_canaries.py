"""Each filter of each stage must notice when it is replaced by one that keeps, or rejects, everything."""

from dataclasses import replace

import numpy as np
import pytest

from imgdiff_assets.canaries import mistakes
from imgdiff_assets.graph import STAGES
from imgdiff_assets.recipe import load_recipe, shipped_recipes
from imgdiff_assets.stage import Filter, Stage

FILTERS = [(stage, step) for stage in STAGES for step in stage.filters]


def with_filter(stage: Stage, old: Filter, verdict: bool) -> Stage:
    """The stage with one filter that gives every row the same verdict."""

    def constant(columns: dict[str, np.ndarray], settings: object) -> np.ndarray:
        return np.full(len(next(iter(columns.values()))), verdict)

    return replace(stage, steps=tuple(replace(old, passes=constant) if step is old else step for step in stage.steps))


@pytest.mark.parametrize("recipe", shipped_recipes())
@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_the_filters_of_every_recipe_work(stage: Stage, recipe: str) -> None:
    assert mistakes(stage, stage.settings(load_recipe(recipe))) == []


@pytest.mark.parametrize(("stage", "step"), FILTERS, ids=lambda value: value.name)
def test_a_filter_that_keeps_everything_is_noticed(stage: Stage, step: Filter) -> None:
    settings = stage.settings(load_recipe("miniature", ["prompt_pairs.known_words=[a, ball]"]))
    assert [step.name in text for text in mistakes(with_filter(stage, step, True), settings)].count(True) >= 1


@pytest.mark.parametrize(("stage", "step"), FILTERS, ids=lambda value: value.name)
def test_a_filter_that_rejects_everything_is_noticed(stage: Stage, step: Filter) -> None:
    settings = stage.settings(load_recipe("miniature"))
    assert [step.name in text for text in mistakes(with_filter(stage, step, False), settings)].count(True) >= 1


def test_a_setting_that_lets_everything_pass_needs_no_proof() -> None:
    stage = next(stage for stage in STAGES if stage.name == "bounding_boxes")
    settings = stage.settings(load_recipe("miniature", ["bounding_boxes.max_overlap=1"]))
    assert mistakes(stage, settings) == []
