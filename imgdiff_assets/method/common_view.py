"""Two pictures of one scene laid on each other, and cut to what both show."""

import math

import numpy as np
from PIL import Image

from imgdiff_assets.common.aliases import Pixels
from imgdiff_assets.method.registration import Placed, corner_shift, register

STILL = 0.5
"""Pixels: where no corner moves further, pictures stay as they are."""

EXPLAINED = 0.5
"""A place counts where no more than this share of what differs without it differs with it."""


def laid_together(source: Pixels, target: Pixels) -> tuple[Pixels, Pixels, Placed | None]:
    """Two pictures (H, W, 3) uint8 of one size with the target moved onto the source, both cut to what both show.

    Where nothing is to be moved, or no place explains what differs, they are returned as they are, and None.
    """
    height, width = source.shape[:2]
    placed = register(source, target)
    if corner_shift(placed, width, height) <= STILL or placed.misfit > EXPLAINED * placed.unmoved_misfit:
        return source, target, None
    zoom, centre = placed.zoom, ((width - 1) / 2, (height - 1) / 2)
    shift = [at * (1 - zoom) + moved for at, moved in zip(centre, (placed.dx, placed.dy), strict=True)]
    matrix = (zoom, 0.0, shift[0] + (zoom - 1) / 2, 0.0, zoom, shift[1] + (zoom - 1) / 2)
    moved = Image.fromarray(target).transform(
        (width, height), Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC
    )
    box = [
        (max(0, math.ceil(-before / zoom)), min(side, math.floor((side - 1 - before) / zoom) + 1))
        for side, before in zip((width, height), shift, strict=True)
    ]
    (left, right), (top, bottom) = box
    cut = slice(top, bottom), slice(left, right)
    return np.ascontiguousarray(source[cut]), np.ascontiguousarray(np.asarray(moved)[cut]), placed
