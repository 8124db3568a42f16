"""An independent judge of pictures of the drawn world: analysis by synthesis, without weights or training.

A picture is explained as a plain background with objects pasted on it. Every (object, colour, size, position) is
tried, by correlation; the one that explains most of what differs from the background is taken away, and the search
goes on until nothing that is left looks like an object. The judge knows how things are drawn and nothing of any model.
It looks at a slight blur of picture and drawing, so that an outline half a pixel off its place is still that outline.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from resources.miniature.drawings import BACKGROUND_COLOURS, draw_object
from resources.miniature.scenes import BACKGROUNDS, COLOURS, IMAGE_SIZE, OBJECTS, SceneObject, parse_caption

Pixels = NDArray[np.float32]

SEARCHED_SIZES = range(24, 35, 3)
SMALLEST, LARGEST = 20, 36
REFINED_CANDIDATES = 8
MAX_OBJECTS = 4
BORDER = 5
# Of the blur; sprites and pictures get a margin that it fades out in.
SIGMA = 1.0
MARGIN = 4


@dataclass(frozen=True, slots=True)
class FoundObject:
    """An object in a picture. `box` is xyxy in pixels, ends exclusive; `mask` is bool (H, W).

    `fit` is the share of the object's contrast with the background that the picture shows: 1 for a perfect drawing,
    0 or less for something else.
    """

    thing: SceneObject
    box: tuple[int, int, int, int]
    mask: NDArray[np.bool_]
    fit: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a picture shows: objects from left to right, and the background, or None where it is none of the known."""

    objects: tuple[FoundObject, ...]
    background: str | None

    def shows(self, caption: str) -> bool:
        """Whether the picture shows just what a caption of the drawn world says."""
        content = parse_caption(caption)
        if content is None:
            raise ValueError(f"Not a caption of the drawn world: {caption!r}.")
        return content == (tuple(found.thing for found in self.objects), self.background)


def _blurred(pixels: Pixels) -> Pixels:
    """A Gaussian blur of (H, W, channels) that fades into MARGIN more pixels on every side, 0 outside before."""
    offsets = np.arange(-MARGIN, MARGIN + 1)
    kernel = np.exp(-(offsets**2) / (2 * SIGMA**2))
    kernel /= kernel.sum()
    padded = np.pad(pixels, ((2 * MARGIN,) * 2, (2 * MARGIN,) * 2, (0, 0)))
    for axis in (0, 1):
        padded = np.lib.stride_tricks.sliding_window_view(padded, len(kernel), axis) @ kernel
    blurred: Pixels = padded.astype(np.float32)
    return blurred


@dataclass(frozen=True, slots=True)
class _Candidate:
    gain: float
    fit: float
    thing: SceneObject
    size: int
    left: int
    top: int


class Judge:
    """Judges pictures of IMAGE_SIZE. What is below `min_fit` is no object; a background may be `max_distance` off."""

    def __init__(self, min_fit: float = 0.6, max_distance: float = 30.0) -> None:
        self.min_fit = min_fit
        self.max_distance = max_distance
        self._sprites: dict[tuple[SceneObject, int], tuple[Pixels, Pixels]] = {}
        self._templates = [
            (SceneObject(name, colour), size) for name in OBJECTS for size in SEARCHED_SIZES for colour in COLOURS
        ]
        paints = [self._sprite(*template) for template in self._templates]
        plane = (IMAGE_SIZE + 2 * MARGIN,) * 2
        self._alpha_spectra = np.conj(
            np.stack([np.fft.rfft2(alpha[..., 0], plane) for alpha, _ in paints[:: len(COLOURS)]])
        ).astype(np.complex64)
        self._paint_spectra = np.conj(
            np.stack([np.fft.rfft2(paint, plane, axes=(0, 1)) for _, paint in paints])
        ).astype(np.complex64)
        places = np.arange(plane[0])
        inside = np.stack([places <= IMAGE_SIZE - size for _, size in self._templates])
        self._outside = ~(inside[:, :, None] & inside[:, None, :])
        # What is needed for the energy of alpha * (colour - background), for any background colour.
        self._squares = np.array([(paint**2).sum() for _, paint in paints])
        self._crosses = np.array([(paint * alpha).sum((0, 1)) for alpha, paint in paints])
        self._alpha_squares = np.array([(alpha**2).sum() for alpha, _ in paints])

    def _sprite(self, thing: SceneObject, size: int) -> tuple[Pixels, Pixels]:
        """An object's blurred opacity, (side, side, 1), and colours times it, (side, side, 3), with margins."""
        key = (thing, size)
        if key not in self._sprites:
            sprite: Pixels = np.asarray(draw_object(thing.name, thing.colour, size), np.float32)
            alpha: Pixels = sprite[..., 3:] / np.float32(255)
            self._sprites[key] = _blurred(alpha), _blurred(sprite[..., :3] * alpha)
        return self._sprites[key]

    def judge(self, image: NDArray[np.uint8]) -> Verdict:
        """What an RGB uint8 (H, W, 3) picture shows."""
        pixels = image.astype(np.float32)
        border = np.ones(image.shape[:2], bool)
        border[BORDER:-BORDER, BORDER:-BORDER] = False
        plain = np.median(pixels[border], axis=0)
        distances = [float(np.abs(plain - BACKGROUND_COLOURS[name]).max()) for name in BACKGROUNDS]
        nearest = int(np.argmin(distances))
        contrast = _blurred(pixels - plain)
        found: list[FoundObject] = []
        while len(found) < MAX_OBJECTS:
            best = self._best(contrast, plain)
            if best.fit < self.min_fit:
                break
            alpha, _ = self._sprite(best.thing, best.size)
            side = len(alpha)
            # With a little of what is around it, where an outline may be off its place.
            contrast[best.top : best.top + side, best.left : best.left + side] *= np.clip(1 - 4 * alpha, 0, 1)
            mask = np.zeros(image.shape[:2], bool)
            opacity = np.asarray(draw_object(best.thing.name, best.thing.colour, best.size).getchannel("A"))
            mask[best.top : best.top + best.size, best.left : best.left + best.size] = opacity > 127
            rows, columns = np.nonzero(mask)
            box = int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1
            found.append(FoundObject(best.thing, box, mask, best.fit))
        found.sort(key=lambda thing: thing.box[0] + thing.box[2])
        return Verdict(tuple(found), BACKGROUNDS[nearest] if distances[nearest] <= self.max_distance else None)

    def _best(self, contrast: Pixels, plain: Pixels) -> _Candidate:
        """The object that explains most of `contrast`: the picture less its background, blurred, with margins."""
        spectrum = np.fft.rfft2(contrast, axes=(0, 1)).astype(np.complex64)
        paint = np.einsum("nhwc,hwc->nhw", self._paint_spectra, spectrum)
        paint -= np.repeat(self._alpha_spectra * (spectrum @ plain), len(COLOURS), axis=0)
        correlation = np.fft.irfft2(paint, contrast.shape[:2])
        energy = self._squares - 2 * self._crosses @ plain + self._alpha_squares * float(plain @ plain)
        gains = 2 * correlation - energy[:, None, None]
        gains[self._outside] = -np.inf
        peaks = gains.reshape(len(gains), -1).argmax(1)
        heights = gains.reshape(len(gains), -1)[np.arange(len(gains)), peaks]
        tried: set[SceneObject] = set()
        refined: list[_Candidate] = []
        for index in np.argsort(-heights):
            thing, size = self._templates[index]
            if thing not in tried:
                tried.add(thing)
                top, left = divmod(int(peaks[index]), contrast.shape[1])
                refined.append(self._refine(contrast, plain, thing, size, left, top))
            if len(tried) == REFINED_CANDIDATES:
                break
        return max(refined, key=lambda candidate: candidate.gain)

    def _refine(
        self, contrast: Pixels, plain: Pixels, thing: SceneObject, size: int, left: int, top: int
    ) -> _Candidate:
        """The best among sizes and places close to those given."""
        best: _Candidate | None = None
        for other in range(max(SMALLEST, size - 2), min(LARGEST, size + 2) + 1):
            alpha, paint = self._sprite(thing, other)
            wanted = paint - alpha * plain
            energy, side = float((wanted**2).sum()), len(wanted)
            # A size grows around the middle.
            middle_left, middle_top = left + (size - other) // 2, top + (size - other) // 2
            for y in range(max(0, middle_top - 1), min(IMAGE_SIZE - other, middle_top + 2) + 1):
                for x in range(max(0, middle_left - 1), min(IMAGE_SIZE - other, middle_left + 2) + 1):
                    gain = 2 * float(np.vdot(contrast[y : y + side, x : x + side], wanted)) - energy
                    if best is None or gain > best.gain:
                        best = _Candidate(gain, gain / energy, thing, other, x, y)
        assert best is not None
        return best


def difference_outside(
    first: NDArray[np.uint8], second: NDArray[np.uint8], objects: tuple[FoundObject, ...], margin: int = 2
) -> float:
    """PSNR in dB of two pictures over the pixels further than `margin` from every given object's box."""
    outside = np.ones(first.shape[:2], bool)
    for found in objects:
        x1, y1, x2, y2 = found.box
        outside[max(0, y1 - margin) : y2 + margin, max(0, x1 - margin) : x2 + margin] = False
    error = np.square(first[outside].astype(np.float32) - second[outside].astype(np.float32)).mean()
    return float(10 * np.log10(255**2 / max(error, 1e-3)))
