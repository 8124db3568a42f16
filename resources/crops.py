"""Cutting regions out of images, and bringing images of any shape to the one input size of a vision model.

Regions are resized whole, without keeping their aspect ratio: a centre crop would judge a long thin region by its
middle alone.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

Interpolation = Literal["bilinear", "bicubic"]


def cut(image: NDArray[np.uint8], box: Sequence[float], padding: int = 0) -> NDArray[np.uint8]:
    """Return the part of `image` (H, W, 3) inside `box`, as a view.

    `box` is xyxy in pixels with exclusive ends; it is grown by `padding` pixels on every side, widened to whole
    pixels and clipped to the image.

    Raises:
        ValueError: nothing of the image lies inside the box.
    """
    height, width = image.shape[:2]
    left, top = (max(0, math.floor(start - padding)) for start in box[:2])
    right, bottom = min(width, math.ceil(box[2] + padding)), min(height, math.ceil(box[3] + padding))
    if left >= right or top >= bottom:
        raise ValueError(f"The box {[*map(float, box)]} holds nothing of an image of {width}×{height} pixels.")
    return image[top:bottom, left:right]


def squash(
    images: Sequence[NDArray[np.uint8]],
    size: tuple[int, int],
    mean: Sequence[float],
    std: Sequence[float],
    device: str = "cpu",
    interpolation: Interpolation = "bicubic",
) -> "torch.Tensor":
    """Resize images (H, W, 3) uint8 of any shapes to `size` (height, width) and normalise them.

    Returns float32 (N, 3, height, width) on `device`: pixels scaled to 0–1, minus `mean`, divided by `std` (per
    channel). Images of the same shape are resized together.
    """
    import torch
    from torch.nn import functional

    resized = torch.empty(len(images), 3, *size, device=device)
    rows_by_shape: dict[tuple[int, ...], list[int]] = {}
    for row, image in enumerate(images):
        rows_by_shape.setdefault(image.shape, []).append(row)
    for shape, rows in rows_by_shape.items():
        pixels = torch.from_numpy(np.stack([images[row] for row in rows])).to(device).permute(0, 3, 1, 2).float()
        if shape[:2] != size:
            pixels = functional.interpolate(pixels, size, mode=interpolation, antialias=True).clamp(0, 255)
        resized[rows] = pixels
    scale = 255 * torch.tensor(std, device=device).view(3, 1, 1)
    return (resized - 255 * torch.tensor(mean, device=device).view(3, 1, 1)) / scale
