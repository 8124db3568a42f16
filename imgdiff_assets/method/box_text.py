"""Boxes as text, in the conventions that vision-language models are trained on."""

from collections.abc import Sequence
from typing import Literal

Coordinates = Literal["fraction", "thousandths", "pixels"]
"""All count from the top left; x2 and y2 are the box's far edges. A language says in words what each is."""


def box_text(box: Sequence[float], width: int, height: int, coordinates: Coordinates) -> str:
    """An xyxy box in pixels of a `width` x `height` image as text; rounded, and never outside the image."""
    sizes = (width, height, width, height)
    inside = [min(max(value, 0.0), float(size)) for value, size in zip(box, sizes, strict=True)]
    if coordinates == "pixels":
        return _list([str(round(value)) for value in inside])
    shares = [value / size for value, size in zip(inside, sizes, strict=True)]
    if coordinates == "thousandths":
        return _list([str(round(1000 * share)) for share in shares])
    return _list([f"{share:.2f}" for share in shares])


def _list(numbers: Sequence[str]) -> str:
    return f"[{', '.join(numbers)}]"
