"""Cutting regions out of images, and bringing images of any shape to the one input size of a vision model.

Regions are resized whole, without keeping their aspect ratio: a centre crop would judge a long thin region by its
middle alone. A region is a NumPy view of its image, so that many of them cost no memory, an image goes to the device
once for all its regions, and the same region is known again wherever it comes up.
"""

import math
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

Interpolation = Literal["bilinear", "bicubic"]
Pixels = NDArray[np.uint8]


def padded(box: Sequence[float], padding: int, width: int, height: int) -> tuple[int, int, int, int]:
    """Return `box`, xyxy in pixels with exclusive ends, grown on every side, widened to whole pixels and clipped."""
    left, top = (max(0, math.floor(start - padding)) for start in box[:2])
    return left, top, min(width, math.ceil(box[2] + padding)), min(height, math.ceil(box[3] + padding))


def cut(image: Pixels, box: Sequence[float], padding: int = 0) -> Pixels:
    """Return the part of `image` (H, W, 3) inside the `padded` box, as a view.

    Raises:
        ValueError: nothing of the image lies inside the box.
    """
    height, width = image.shape[:2]
    left, top, right, bottom = padded(box, padding, width, height)
    if left >= right or top >= bottom:
        raise ValueError(f"The box {[*map(float, box)]} holds nothing of an image of {width}×{height} pixels.")
    return image[top:bottom, left:right]


def distinct(images: Sequence[Pixels]) -> tuple[list[Pixels], list[int]]:
    """Return the images without those that view the same pixels in memory again, and for each image its place there.

    So one region, cut out anew for each thing that is asked about it, is one image.
    """
    first: dict[Hashable, Pixels] = {}
    memories = [(_address(image), image.shape, image.strides) for image in images]
    for memory, image in zip(memories, images, strict=True):
        first.setdefault(memory, image)
    places = {memory: place for place, memory in enumerate(first)}
    return list(first.values()), [places[memory] for memory in memories]


def upload(images: Sequence[Pixels], device: str) -> list["torch.Tensor"]:
    """Return uint8 tensors like `images` (H, W, 3) on `device`; views of one image are cut there, out of one copy."""
    import torch

    copies: dict[int, torch.Tensor] = {}
    tensors = []
    for image in images:
        whole = _whole(image)
        if id(whole) not in copies:
            copies[id(whole)] = torch.from_numpy(np.require(whole, requirements=("C", "W"))).to(device)
        tensor = copies[id(whole)]
        if whole is not image:
            tensor = tensor.as_strided(image.shape, image.strides, _address(image) - _address(whole))
        tensors.append(tensor)
    return tensors


def _whole(image: Pixels) -> Pixels:
    """Return the image (H, W, 3) that `image` is cut out of, or itself."""
    whole = image.base
    if isinstance(whole, np.ndarray) and whole.dtype == image.dtype and whole.ndim == 3:
        return whole if whole.flags.c_contiguous and min(image.strides) > 0 else image
    return image


def _address(image: Pixels) -> int:
    address: int = image.__array_interface__["data"][0]
    return address


def squash(
    images: Sequence[Pixels],
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

    uploaded = upload(images, device)
    resized = torch.empty(len(images), 3, *size, device=device)
    rows_by_shape: dict[tuple[int, ...], list[int]] = {}
    for row, image in enumerate(images):
        rows_by_shape.setdefault(image.shape, []).append(row)
    for shape, rows in rows_by_shape.items():
        pixels = torch.stack([uploaded[row] for row in rows]).permute(0, 3, 1, 2).float()
        if shape[:2] != size:
            pixels = functional.interpolate(pixels, size, mode=interpolation, antialias=True).clamp(0, 255)
        resized[rows] = pixels
    scale = 255 * torch.tensor(std, device=device).view(3, 1, 1)
    return (resized - 255 * torch.tensor(mean, device=device).view(3, 1, 1)) / scale
