"""Two pictures that lie apart are cut to what both show, pixel on pixel."""

import numpy as np
import pytest

from benchmarks.alignment import photographs, plant
from imgdiff_assets.method.overlap import SMALLEST, laid_on_each_other
from imgdiff_assets.method.registration import Placed, register


@pytest.mark.parametrize(
    ("dx", "dy", "zoom"), [(0.1, -0.04, 1.0), (-0.05, 0.08, 1.05), (0.0, 0.0, 0.93), (0.0, 0.1, 1.0)]
)
def test_what_was_planted_is_undone(dx: float, dy: float, zoom: float) -> None:
    planted = plant(photographs()[0], dx, dy, zoom)
    known = Placed(planted.dx, planted.dy, planted.zoom, 0.0, 1.0)
    laid = laid_on_each_other(planted.source, planted.target, known)
    assert laid is not None
    source, target = laid
    assert source.shape == target.shape
    height, width = planted.source.shape[:2]
    assert source.shape[0] * source.shape[1] >= 0.7 * height * width
    # Inside, so that the frame that bicubic resampling touches does not count.
    apart = np.abs(source.astype(float) - target)[2:-2, 2:-2]
    before = np.abs(planted.source.astype(float) - planted.target)
    assert np.median(apart) <= 3 < np.median(before)
    again = register(source, target)
    assert max(abs(again.dx), abs(again.dy)) < 0.5


def test_the_pixels_of_the_source_stay_what_they_are() -> None:
    planted = plant(photographs()[1], 0.1, 0.05, 1.0)
    laid = laid_on_each_other(planted.source, planted.target, Placed(planted.dx, planted.dy, 1.0, 0.0, 1.0))
    assert laid is not None
    height, width = laid[0].shape[:2]
    # The target is shifted right and down: what lies on the right and below of the source it does not show.
    assert (laid[0] == planted.source[:height, :width]).all()


def test_next_to_nothing_is_none() -> None:
    picture = photographs()[0][:64, :64]
    assert laid_on_each_other(picture, picture, Placed(64 - SMALLEST + 1, 0, 1.0, 0.0, 1.0)) is None
    assert laid_on_each_other(picture, picture, Placed(64 - SMALLEST - 1, 0, 1.0, 0.0, 1.0)) is not None
