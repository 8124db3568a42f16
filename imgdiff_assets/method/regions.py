"""Boxes: areas, overlaps, suppression, frames. All boxes are xyxy in pixels; x2 and y2 are exclusive."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from imgdiff_assets.common.aliases import Pixels
from resources.images.crops import padded

BOX_COLUMNS = ("x1", "y1", "x2", "y2")
"""The columns of a table that hold a box."""

Boxes = npt.NDArray[np.float64]

RED = (255, 0, 0)
BAR_WIDTH = 20
BOX_LINE = 3
BOX_MARGIN = 5


def area(boxes: Boxes) -> npt.NDArray[np.float64]:
    """(..., 4) boxes to (...,) areas in pixels; an inverted box has none."""
    sizes = np.clip(boxes[..., 2:] - boxes[..., :2], 0, None)
    result: npt.NDArray[np.float64] = sizes[..., 0] * sizes[..., 1]
    return result


def iou(boxes: Boxes, others: Boxes) -> npt.NDArray[np.float64]:
    """(N, 4) and (M, 4) boxes to (N, M) intersections over unions."""
    return _overlap(boxes[:, None], others[None])


def _overlap(boxes: Boxes, others: Boxes) -> npt.NDArray[np.float64]:
    """Intersections over unions of boxes whose shapes broadcast, (..., 4) to (...,)."""
    low, high = np.maximum(boxes[..., :2], others[..., :2]), np.minimum(boxes[..., 2:], others[..., 2:])
    both = area(np.concatenate([low, high], axis=-1))
    either = area(boxes) + area(others) - both
    result: npt.NDArray[np.float64] = np.divide(both, either, out=np.zeros_like(both), where=either > 0)
    return result


def suppress(
    boxes: Boxes,
    order: npt.NDArray[np.intp],
    max_overlap: float,
    groups: npt.NDArray[np.int64] | None = None,
) -> npt.NDArray[np.bool_]:
    """Non-maximum suppression: which boxes stay, taken in `order`, when any two may overlap by `max_overlap`.

    Only boxes with the same number in `groups` meet. All groups go forward together, one kept box of each at a time.
    """
    kept = np.zeros(len(boxes), dtype=bool)
    groups = np.zeros(len(boxes), dtype=np.int64) if groups is None else groups
    left = order[np.argsort(groups[order], kind="stable")]
    while len(left):
        is_first = np.diff(groups[left], prepend=-1) != 0
        kept[left[is_first]] = True
        best = left[is_first][np.cumsum(is_first) - 1]
        left = left[~is_first & (_overlap(boxes[left], boxes[best]) <= max_overlap)]
    return kept


def ranks(order: npt.NDArray[np.intp], groups: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The place (0, 1, 2, ...) of each of (N,) within its group, taken in `order`."""
    order = order[np.argsort(groups[order], kind="stable")]
    starts = np.flatnonzero(np.diff(groups[order], prepend=-1))
    places = np.empty(len(order), dtype=np.int64)
    places[order] = np.arange(len(order)) - np.repeat(starts, np.diff(starts, append=len(order)))
    return places


def numbered(names: Sequence[str] | npt.NDArray[np.object_]) -> npt.NDArray[np.int64]:
    """Equal numbers for equal names, from 0 on."""
    return np.asarray(pa.array(names, pa.string()).dictionary_encode().indices, dtype=np.int64)


def draw_box(pixels: Pixels, box: Sequence[float], line: int = BOX_LINE, margin: int = BOX_MARGIN) -> Pixels:
    """A copy with a red frame of `line` pixels around the box grown by `margin`."""
    height, width = pixels.shape[:2]
    x1, y1, x2, y2 = padded(box, margin, width, height)
    framed = pixels.copy()
    framed[y1:y2, x1:x2] = RED
    inner = (slice(y1 + line, max(y1 + line, y2 - line)), slice(x1 + line, max(x1 + line, x2 - line)))
    framed[inner] = pixels[inner]
    return framed


def side_by_side(left: Pixels, right: Pixels, bar: int = BAR_WIDTH) -> Pixels:
    """Two images of one height next to each other with a black bar between."""
    between = np.zeros((left.shape[0], bar, 3), dtype=np.uint8)
    return np.concatenate([left, between, right], axis=1)
