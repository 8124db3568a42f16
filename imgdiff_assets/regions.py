"""Boxes: areas, overlaps, suppression, crops. All boxes are xyxy in pixels; x2 and y2 are exclusive."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Boxes = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.uint8]

RED = (255, 0, 0)
BAR_WIDTH = 20
BOX_LINE = 3
BOX_MARGIN = 5


def area(boxes: Boxes) -> npt.NDArray[np.float64]:
    """(N, 4) boxes to (N,) areas in pixels; an inverted box has none."""
    sizes = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None)
    result: npt.NDArray[np.float64] = sizes[:, 0] * sizes[:, 1]
    return result


def iou(boxes: Boxes, others: Boxes) -> npt.NDArray[np.float64]:
    """(N, 4) and (M, 4) boxes to (N, M) intersections over unions."""
    corners_low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    corners_high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    sizes = np.clip(corners_high - corners_low, 0, None)
    overlap = sizes[..., 0] * sizes[..., 1]
    union = area(boxes)[:, None] + area(others)[None, :] - overlap
    result: npt.NDArray[np.float64] = np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0)
    return result


def suppress(boxes: Boxes, order: npt.NDArray[np.intp], max_overlap: float) -> npt.NDArray[np.bool_]:
    """Non-maximum suppression: which boxes stay, taken in `order`, when any two may overlap by `max_overlap`."""
    kept = np.zeros(len(boxes), dtype=bool)
    overlaps = iou(boxes, boxes)
    for index in order:
        kept[index] = not (overlaps[index][kept] > max_overlap).any()
    return kept


def padded(box: Sequence[float], padding: int, width: int, height: int) -> tuple[int, int, int, int]:
    """The box grown by `padding` pixels, rounded outwards and clipped to the image."""
    x1, y1, x2, y2 = box
    return (
        max(0, int(np.floor(x1)) - padding),
        max(0, int(np.floor(y1)) - padding),
        min(width, int(np.ceil(x2)) + padding),
        min(height, int(np.ceil(y2)) + padding),
    )


def crop(pixels: Pixels, box: Sequence[float], padding: int) -> Pixels:
    """The region of an (H, W, 3) image inside the padded box. Raises ValueError for a box outside the image."""
    height, width = pixels.shape[:2]
    x1, y1, x2, y2 = padded(box, padding, width, height)
    if x1 >= x2 or y1 >= y2:
        raise ValueError(f"the box {list(box)} has no pixels in an image of {width} x {height}")
    return pixels[y1:y2, x1:x2]


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
