"""A few erasures of the shipped inpainter."""

from benchmarks.inpainter import measure
from imgdiff_assets.recipe.recipe import load_recipe


def test_the_shipped_weights_erase_what_they_should() -> None:
    right, untouched, likeness = measure(load_recipe("miniature").models.inpainter, 8)
    assert right.value >= 75
    assert untouched.met
    assert likeness.value >= 20
