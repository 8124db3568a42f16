"""A few erasures of the shipped inpainter."""

import pytest

from benchmarks.inpainter import measure
from imgdiff_assets.recipe.chosen_recipe import load_recipe


@pytest.mark.parametrize("count", [2, pytest.param(8, marks=pytest.mark.slow)])
def test_the_shipped_weights_erase_what_they_should(count: int) -> None:
    right, untouched, likeness = measure(load_recipe("miniature").models.inpainter, count)
    assert right.value >= 75
    assert untouched.met
    assert likeness.value >= 20
