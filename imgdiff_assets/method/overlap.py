"""Two pictures that lie shifted or zoomed against each other, cut to what both of them show, one laid on the other."""

import math

import numpy as np
from PIL import Image

from imgdiff_assets.common.aliases import Pixels
from imgdiff_assets.method.registration import Placed

SMALLEST = 16
"""Pixels of the shorter side below which nothing is left to compare."""


def laid_on_each_other(source: Pixels, target: Pixels, placed: Placed) -> tuple[Pixels, Pixels] | None:
    """Both (H, W, 3) uint8 pictures cut to what both show, (h, w, 3); None where that is next to nothing.

    The source's pixels stay what they are; the target is resampled (bicubic) where the source has its pixels.
    """
    height, width = source.shape[:2]
    left, right = _shown(width, placed.dx, placed.zoom)
    top, bottom = _shown(height, placed.dy, placed.zoom)
    if min(right - left, bottom - top) < SMALLEST:
        return None
    begin = [
        side / 2 + placed.zoom * (first - side / 2) + shift
        for side, first, shift in ((width, left, placed.dx), (height, top, placed.dy))
    ]
    laid = Image.fromarray(target).transform(
        (right - left, bottom - top),
        Image.Transform.AFFINE,
        (placed.zoom, 0, begin[0], 0, placed.zoom, begin[1]),
        Image.Resampling.BICUBIC,
    )
    return source[top:bottom, left:right], np.asarray(laid)


def _shown(side: int, shift: float, zoom: float) -> tuple[int, int]:
    """The whole pixels of a side of the source that the target shows too: from, to."""
    ends = [side / 2 + (end - side / 2 - shift) / zoom for end in (0, side)]
    # A target that lies a hundredth of a pixel off costs no row of pixels.
    return max(0, math.ceil(ends[0] - 0.01)), min(side, math.floor(ends[1] + 0.01))
