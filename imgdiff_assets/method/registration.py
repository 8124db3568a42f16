"""How one picture lies against another: by how much it is shifted and zoomed, whatever else differs between the two.

First all shifts at once for each of a few zooms, by the correlation of small pictures over what both of them show
(Padfield, "Masked object registration in the Fourier domain", 2012); then the likeliest are refined by Gauss-Newton
steps, on larger and larger pictures. What was replaced fits nowhere, and weighs next to nothing there; nor does light,
as a gain and an offset are found with the place.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from imgdiff_assets.common.aliases import Pixels

Grey = npt.NDArray[np.float64]
Place = npt.NDArray[np.float64]
"""Shift right and down as shares of the longest side, and the logarithm of the zoom."""

SIDES = (96, 256)
"""Longest side of the pictures on which shifts are searched, and then refined, in pixels."""

ZOOMS = np.exp(np.arange(-4, 5) * 0.028)
"""The zooms that are tried: from 0.89 to 1.12, each so close to the next that refining finds what lies between."""

FARTHEST = 0.3
"""The largest shift that is looked for, as a share of the side."""

LEAST_OVERLAP = 0.4
"""Of two pictures laid on each other at least this share must show the same."""

DIFFERENT = 12.0
"""Levels of grey by which two pixels differ that are half in doubt."""

REFINED = 3
STEPS = 10
STILL = 1e-3
"""Gauss-Newton ends when no corner moves by more pixels than this."""


@dataclass(frozen=True, slots=True)
class Placed:
    """What lies at `x` in the source lies at `centre + zoom * (x - centre) + (dx, dy)` in the target, in pixels.

    `misfit` is the share of pixels (0 to 1) that differ when the target is laid on the source so, `unmoved_misfit`
    when it is laid on it as it is; both over what is shown by both.
    """

    dx: float
    dy: float
    zoom: float
    misfit: float
    unmoved_misfit: float


def register(source: Pixels, target: Pixels) -> Placed:
    """Where the target lies against the source, both (H, W, 3) uint8 of one size.

    Shifts to a fifth of the side and zooms to a tenth are found. Raises ValueError for pictures of two sizes.
    """
    if source.shape != target.shape:
        raise ValueError(
            f"pictures of two sizes, {source.shape[1::-1]} and {target.shape[1::-1]}, cannot be registered"
        )
    levels = [(_smooth(_grey(source, side)), _smooth(_grey(target, side))) for side in _sides(source)]
    unmoved = np.zeros(3)
    likely = sorted(_likely(*levels[0]), key=lambda place: _misfit(place, *levels[0]))[:REFINED]
    places = [_refined(place, *levels[0]) for place in (unmoved, *likely)]
    best = min(places, key=lambda place: _misfit(place, *levels[0]))
    for level in levels[1:]:
        best = _refined(best, *level)
    height, width = source.shape[:2]
    return Placed(
        dx=float(best[0] * max(height, width)),
        dy=float(best[1] * max(height, width)),
        zoom=float(np.exp(best[2])),
        misfit=_misfit(best, *levels[-1]),
        unmoved_misfit=_misfit(unmoved, *levels[-1]),
    )


def corner_shift(placed: Placed, width: int, height: int) -> float:
    """How far the farthest corner of pictures of this size lies from its place, in pixels."""
    corners = np.array([(x * width / 2, y * height / 2) for x in (-1, 1) for y in (-1, 1)])
    moved = (placed.zoom - 1) * corners + (placed.dx, placed.dy)
    return float(np.hypot(*moved.T).max())


def _sides(picture: Pixels) -> list[int]:
    """The longest sides of the pictures to look at, none larger than the picture."""
    longest = max(picture.shape[:2])
    return [side for side in SIDES if side < longest] + ([longest] if longest <= SIDES[-1] else [])


def _grey(picture: Pixels, side: int) -> Grey:
    """(h, w) levels of grey, the longer side as long as told."""
    image = Image.fromarray(picture).convert("L")
    scale = side / max(image.size)
    size = [max(8, round(edge * scale)) for edge in image.size]
    return np.asarray(image if size == list(image.size) else image.resize(size, Image.Resampling.BICUBIC), np.float64)


def _smooth(grey: Grey, width: float = 1.2) -> Grey:
    """Blurred by a Gaussian, with the edge's own values beyond the edge."""
    reach = int(np.ceil(3 * width))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
    kernel /= kernel.sum()
    for _ in range(2):
        padded = np.pad(grey, ((reach, reach), (0, 0)), mode="edge")
        grey = sum(weight * padded[start : start + len(grey)] for start, weight in enumerate(kernel)).T
    return grey


def _likely(source: Grey, target: Grey) -> Iterator[Place]:
    """The place of the highest correlation for each zoom."""
    detail = source - _smooth(source, 4.0)
    for zoom in ZOOMS:
        moved, inside = _laid(np.array([0.0, 0.0, np.log(zoom)]), target, source.shape)
        shift = _peak(detail, (moved - _smooth(moved, 4.0)) * inside, inside)
        yield np.array([*(shift * zoom / max(source.shape)), np.log(zoom)])


def _peak(source: Grey, target: Grey, inside: Grey) -> Place:
    """The shift (x, y; pixels) of the highest correlation, each over what both show."""
    shape = [int(np.ceil(side * (1 + FARTHEST))) for side in source.shape]

    def transformed(picture: Grey) -> npt.NDArray[np.complex128]:
        return np.fft.rfft2(picture, shape)

    def crossed(one: npt.NDArray[np.complex128], other: npt.NDArray[np.complex128]) -> Grey:
        return np.fft.irfft2(np.conj(one) * other, shape)

    ones, sources, squares = (transformed(each) for each in (np.ones_like(source), source, source**2))
    within, targets, target_squares = (transformed(each) for each in (inside, target, target**2))
    count = np.maximum(np.round(crossed(ones, within)), 1.0)
    source_sum, target_sum = crossed(sources, within), crossed(ones, targets)
    shared = crossed(sources, targets) - source_sum * target_sum / count
    source_energy = np.maximum(crossed(squares, within) - source_sum**2 / count, 0.0)
    target_energy = np.maximum(crossed(ones, target_squares) - target_sum**2 / count, 0.0)
    energy = np.sqrt(source_energy * target_energy)
    heights = np.where(energy > 1e-3 * energy.max(initial=1e-9), shared / np.maximum(energy, 1e-9), 0.0)
    shifts = [np.fft.fftfreq(side, 1 / side) for side in shape]
    near = np.logical_and.outer(
        *(np.abs(shift) <= FARTHEST * side for shift, side in zip(shifts, source.shape, strict=True))
    )
    heights[~near | (count < LEAST_OVERLAP * source.size)] = -1.0
    row, column = np.unravel_index(np.argmax(heights), heights.shape)
    return np.array([shifts[1][column], shifts[0][row]])


def _grid(shape: tuple[int, ...]) -> tuple[Grey, Grey]:
    """Of each pixel, how far it lies right of and below the centre."""
    rows, columns = np.indices(shape, dtype=np.float64)
    return columns - (shape[1] - 1) / 2, rows - (shape[0] - 1) / 2


def _laid(place: Place, target: Grey, shape: tuple[int, ...]) -> tuple[Grey, Grey]:
    """The target laid on the source, 0 where it shows nothing; and 1 where it shows something."""
    x, y = _grid(shape)
    side = max(shape)
    x = np.exp(place[2]) * x + place[0] * side + (shape[1] - 1) / 2
    y = np.exp(place[2]) * y + place[1] * side + (shape[0] - 1) / 2
    inside = (x >= 0) & (x <= shape[1] - 1) & (y >= 0) & (y <= shape[0] - 1)
    left = np.clip(np.floor(x), 0, shape[1] - 2).astype(np.int64)
    top = np.clip(np.floor(y), 0, shape[0] - 2).astype(np.int64)
    right_share, low_share = x - left, y - top
    upper = target[top, left] * (1 - right_share) + target[top, left + 1] * right_share
    lower = target[top + 1, left] * (1 - right_share) + target[top + 1, left + 1] * right_share
    return (upper * (1 - low_share) + lower * low_share) * inside, inside.astype(np.float64)


def _lit(source: Grey, laid: Grey, weights: Grey) -> Grey:
    """The target in the light of the source: with the gain and the offset that fit best."""
    total = max(weights.sum(), 1e-9)
    mean, source_mean = (weights * laid).sum() / total, (weights * source).sum() / total
    spread = (weights * (laid - mean) ** 2).sum()
    gain = (weights * (laid - mean) * (source - source_mean)).sum() / spread if spread > 1e-6 else 1.0
    lit: Grey = float(np.clip(gain, 0.5, 2.0)) * (laid - mean) + source_mean
    return lit


def _weights(residual: Grey, inside: Grey) -> Grey:
    """What each pixel counts: the less, the more it differs."""
    return inside / (1 + (residual / DIFFERENT) ** 2) ** 2


def _residual(place: Place, source: Grey, target: Grey) -> tuple[Grey, Grey]:
    """What remains of the target, laid on the source in its light, less the source; and what is inside."""
    laid, inside = _laid(place, target, source.shape)
    lit = _lit(source, laid, inside)
    for _ in range(3):
        lit = _lit(source, laid, _weights(lit - source, inside))
    return lit - source, inside


def _share_different(residual: Grey, inside: Grey) -> float:
    """The share of pixels that differ, each as far as it does; 1 where too few are inside to say."""
    if inside.sum() < LEAST_OVERLAP * residual.size:
        return 1.0
    squares = residual**2
    return float((inside * squares / (squares + DIFFERENT**2)).sum() / inside.sum())


def _misfit(place: Place, source: Grey, target: Grey) -> float:
    """The same, of a place."""
    return _share_different(*_residual(place, source, target))


def _refined(place: Place, source: Grey, target: Grey) -> Place:
    """The place nearby that fits best; the same where no step is one towards it."""
    x, y = _grid(source.shape)
    side = max(source.shape)
    down, across = np.gradient(target, axis=0), np.gradient(target, axis=1)
    best, least = place, np.inf
    for _ in range(STEPS + 1):
        residual, inside = _residual(place, source, target)
        misfit = _share_different(residual, inside)
        if misfit < least:
            best, least = place, misfit
        slope_x, slope_y = (_laid(place, slope, source.shape)[0] for slope in (across, down))
        columns = (slope_x, slope_y, np.exp(place[2]) * (slope_x * x + slope_y * y) / side, inside)
        flat = np.stack([column.ravel() for column in columns])
        weighted = flat * _weights(residual, inside).ravel()
        normal = weighted @ flat.T
        normal[np.diag_indices(4)] += 1e-6 * np.trace(normal) / 4 + 1e-9
        step = np.clip(np.linalg.solve(normal, -weighted @ residual.ravel())[:3] / side, -0.05, 0.05)
        place = place + step
        if np.abs(step).max() * side < STILL:
            break
    return best
