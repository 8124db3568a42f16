"""Shifts and zooms are found where they are planted, in photographs and in drawn scenes, whatever was replaced."""

import random

import numpy as np
import pytest

from benchmarks.alignment import ALLOWED, LIGHT, SHIFT, ZOOM, Planted, drawn, photographs, plant, planted, replaced
from imgdiff_assets.method.registration import register
from imgdiff_assets.stages.alignment import placed_row

CORNERS = [(SHIFT, -SHIFT, 1 + ZOOM, 1 - LIGHT), (-SHIFT, SHIFT, 1 - ZOOM, 1 + LIGHT)]


@pytest.mark.parametrize("place", CORNERS)
@pytest.mark.parametrize("picture", ["photograph", "drawn", "replaced"])
def test_the_farthest_that_is_promised_is_found_to_half_a_pixel(
    picture: str, place: tuple[float, float, float, float]
) -> None:
    rng = random.Random(3)
    pair = plant(drawn(rng) if picture == "drawn" else photographs()[0], *place)
    if picture == "replaced":
        pair = replaced(pair, rng)
    found = placed_row(pair.source, pair.target)
    assert pair.error(found) <= ALLOWED, found


@pytest.mark.slow
def test_what_is_planted_anywhere_is_found_to_half_a_pixel() -> None:
    for name, pairs in planted(12, seed=1):
        errors = [pair.error(placed_row(pair.source, pair.target)) for pair in pairs]
        assert max(errors) <= ALLOWED, name


def test_equal_pictures_lie_where_they_are() -> None:
    picture = drawn(random.Random(0))
    found = register(picture, picture)
    assert (found.dx, found.dy, found.zoom, found.misfit) == (0, 0, 1, pytest.approx(0, abs=1e-12))
    assert Planted(picture, picture, 0.0, 0.0, 1.0).error(placed_row(picture, picture)) == 0


def test_pictures_without_anything_to_go_by_are_told_to_lie_where_they_are() -> None:
    found = register(np.full((64, 64, 3), 90, np.uint8), np.full((64, 64, 3), 120, np.uint8))
    assert (found.dx, found.dy, found.zoom) == pytest.approx((0, 0, 1), abs=1e-6)


def test_pictures_of_two_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="of two sizes, \\(40, 30\\) and \\(30, 40\\)"):
        register(np.zeros((30, 40, 3), np.uint8), np.zeros((40, 30, 3), np.uint8))
