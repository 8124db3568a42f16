"""Pixels differ, and what is shown does not: of whatever size, by no more than is meant, and each time alike."""

import random

import numpy as np
import pytest

from benchmarks.alignment import photographs
from imgdiff_assets.common.aliases import Pixels
from imgdiff_assets.method.nuisance import FARTHEST, LIGHT, WAYS
from imgdiff_assets.method.registration import register

PHOTOGRAPH = photographs()[0][:240, :320]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("picture", [PHOTOGRAPH, PHOTOGRAPH[:16, :19], PHOTOGRAPH[:64, :64]])
def test_two_pictures_of_one_size_with_other_pixels(way: str, picture: Pixels) -> None:
    for seed in range(5):
        one, other = WAYS[way](picture, random.Random(seed))
        again = WAYS[way](picture, random.Random(seed))
        assert one.shape == other.shape
        assert one.dtype == other.dtype == np.uint8
        assert (one != other).any()
        assert all((first == second).all() for first, second in zip((one, other), again, strict=True))
        lost = [before - after for before, after in zip(picture.shape[:2], one.shape[:2], strict=True)]
        assert 0 <= min(lost) <= max(lost) <= max(1, round(FARTHEST * min(picture.shape[:2])))


@pytest.mark.parametrize("way", ["shifted", "cropped"])
def test_where_the_window_lies_is_all_that_differs(way: str) -> None:
    one, other = WAYS[way](PHOTOGRAPH, random.Random(3))
    placed = register(one, other)
    assert placed.misfit < 0.1 * placed.unmoved_misfit
    moved = max(abs(placed.dx), abs(placed.dy), abs(placed.zoom - 1) * 120)
    assert 0.5 < moved <= FARTHEST * 240 + 0.5


def test_light_changes_by_no_more_than_is_meant() -> None:
    for seed in range(8):
        one, other = WAYS["relit"](PHOTOGRAPH // 2, random.Random(seed))
        ratio = other.mean() / one.mean()
        assert LIGHT[0] - 0.01 < abs(ratio - 1) < LIGHT[1] + 0.01


def test_what_is_recompressed_differs_by_little_at_every_pixel() -> None:
    one, other = WAYS["recompressed"](PHOTOGRAPH, random.Random(0))
    assert 0 < np.abs(one.astype(float) - other).mean() < 8
