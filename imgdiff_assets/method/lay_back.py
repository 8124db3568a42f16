"""An edited picture laid back onto its source where the editor had nothing to change.

Editing models redraw the whole picture, and shift its colours and textures a little everywhere.
"""

import numpy as np
from PIL import Image, ImageFilter

from imgdiff_assets.common.aliases import Pixels

BLUR, GROWN, FEATHER = 1 / 128, 1 / 32, 1 / 64
"""Shares of a picture's shorter side: what single pixels are smoothed over, how far around a change the editor's
pixels stay, and over what distance they fade into the source."""
NEAR = 24
"""Of 255 of the smeared region: above it a pixel is near a change."""


def laid_back(source: Pixels, target: Pixels, threshold: int) -> Pixels:
    """The target where it differs from the source by `threshold` (of 255, in any channel) or more, and around that;
    elsewhere the source, pixel for pixel. Both are RGB uint8 (H, W, 3) of one shape.

    Raises ValueError for pictures of two shapes.
    """
    if source.shape != target.shape:
        raise ValueError(f"A picture of shape {target.shape} cannot be laid onto one of shape {source.shape}.")
    side = min(source.shape[:2])
    difference = np.abs(source.astype(np.int16) - target).max(2).astype(np.uint8)
    smooth = np.asarray(Image.fromarray(difference).filter(ImageFilter.GaussianBlur(side * BLUR)))
    changed = Image.fromarray(np.where(smooth >= threshold, np.uint8(255), np.uint8(0)))
    near = np.asarray(changed.filter(ImageFilter.GaussianBlur(side * GROWN / 2))) > NEAR
    grown = Image.fromarray(np.where(near | (np.asarray(changed) > 0), np.uint8(255), np.uint8(0)))
    weight = np.asarray(grown.filter(ImageFilter.GaussianBlur(side * FEATHER / 2)), np.float32)[..., None] / 255
    mixed = source + weight * (target.astype(np.float32) - source)
    return np.asarray(mixed.round(), np.uint8)
