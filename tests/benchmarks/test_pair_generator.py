"""The prompts that the pair generator is measured with, and a few of its pictures."""

import random

import pytest

from benchmarks.pair_generator import edited_captions, measure
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from resources.miniature.scenes import is_held_out, parse_caption


@pytest.mark.parametrize("objects", [1, 2])
def test_prompts_are_held_out_and_one_noun_changes(objects: int) -> None:
    for source, target in edited_captions(random.Random(0), 50, objects):
        before, after = parse_caption(source), parse_caption(target)
        assert before is not None
        assert after is not None
        assert is_held_out(*before)
        assert before[1] == after[1]
        assert [thing.colour for thing in before[0]] == [thing.colour for thing in after[0]]
        assert sum(old.name != new.name for old, new in zip(before[0], after[0], strict=True)) == 1


@pytest.mark.parametrize("count", [2, pytest.param(8, marks=pytest.mark.slow)])
def test_the_shipped_weights_make_what_is_asked_for(count: int) -> None:
    one_object, two_objects, edited, outside = measure(load_recipe("miniature").models.pair_generator, count)
    assert min(one_object.value, two_objects.value, edited.value) >= 75
    assert outside.met
