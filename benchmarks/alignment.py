"""How exactly shifts and zooms between the two images of a pair are found, where the truth is planted.

    python -m benchmarks.alignment [--count 40] [--generated 40]

Windows of one picture: of the photographs that scikit-learn ships and of drawn scenes, the one window shifted by up to
a fifth of its side, zoomed by up to a tenth and lit otherwise by up to a tenth; once as it is and once with a quarter
of its area shown by something else. And, nothing planted, pairs that the miniature's generator draws: of these none is
to be called misaligned.
"""

import argparse
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images

from benchmarks.true_pairs import generated
from imgdiff_assets.common.aliases import Pixels, Row
from imgdiff_assets.common.tables import columns_of_rows
from imgdiff_assets.method.registration import Placed, corner_shift
from imgdiff_assets.stages.alignment import CORNER, FITS, AlignmentSettings, displacement, placed_row
from resources.miniature.scenes import IMAGE_SIZE, draw_scene, random_content

SHIFT, ZOOM, LIGHT = 0.2, 0.1, 0.1
WINDOW = 0.62
"""A window's share of its picture: all that is planted shows the picture, and nothing beyond its edge."""

ALLOWED = 0.5
"""The largest error that is no miss, in pixels."""


@dataclass(frozen=True, slots=True)
class Planted:
    """Two windows (H, W, 3) of one picture, and how the second lies against the first, as in `Placed`."""

    source: Pixels
    target: Pixels
    dx: float
    dy: float
    zoom: float

    def error(self, found: Row) -> float:
        """How far the farthest corner is found from where it lies, in pixels."""
        height, width = self.source.shape[:2]
        off = Placed(found["dx"] - self.dx, found["dy"] - self.dy, 1 + found["zoom"] - self.zoom, 0, 0)
        return corner_shift(off, width, height)


def plant(picture: Pixels, dx: float, dy: float, zoom: float, gain: float = 1.0) -> Planted:
    """Two windows in the middle of a picture, the second shifted (shares of its sides), zoomed, and brighter."""
    height, width = (round(side * WINDOW) for side in picture.shape[:2])
    top, left = (picture.shape[0] - height) // 2, (picture.shape[1] - width) // 2
    dx, dy = dx * width, dy * height
    begin_x = left + width / 2 - (width / 2 + dx) / zoom
    begin_y = top + height / 2 - (height / 2 + dy) / zoom
    moved = Image.fromarray(picture).transform(
        (width, height),
        Image.Transform.AFFINE,
        (1 / zoom, 0, begin_x, 0, 1 / zoom, begin_y),
        Image.Resampling.BICUBIC,
    )
    lit = np.clip(np.asarray(moved, np.float64) * gain, 0, 255).round().astype(np.uint8)
    return Planted(picture[top : top + height, left : left + width], lit, dx, dy, zoom)


def replaced(planted: Planted, rng: random.Random) -> Planted:
    """The same with a quarter of the target covered by a part of it that lies elsewhere, upside down."""
    height, width = planted.target.shape[:2]
    target = planted.target.copy()
    top, left = rng.randrange(height // 2), rng.randrange(width // 2)
    covered = planted.target[::-1, ::-1][top : top + height // 2, left : left + width // 2]
    target[top : top + height // 2, left : left + width // 2] = covered
    return Planted(planted.source, target, planted.dx, planted.dy, planted.zoom)


def photographs() -> list[Pixels]:
    """Those that scikit-learn ships, (427, 640, 3)."""
    return list(load_sample_images().images)


def drawn(rng: random.Random) -> Pixels:
    """A scene with what is around it: a window of it is as large as a scene."""
    return surrounded(draw_scene(rng, *random_content(rng)).image)


def surrounded(scene: Pixels) -> Pixels:
    """A scene in the middle of its mirror images."""
    margin = round(IMAGE_SIZE * (1 / WINDOW - 1) / 2) + 1
    return np.pad(scene, ((margin, margin), (margin, margin), (0, 0)), mode="reflect")


def any_plant(picture: Pixels, rng: random.Random) -> Planted:
    """Shift, zoom and light drawn up to what is to be found."""
    dx, dy = (rng.uniform(-SHIFT, SHIFT) for _ in range(2))
    return plant(picture, dx, dy, 1 + rng.uniform(-ZOOM, ZOOM), 1 + rng.uniform(-LIGHT, LIGHT))


def planted(count: int, seed: int = 0) -> Iterator[tuple[str, list[Planted]]]:
    """`count` of each kind."""
    rng = random.Random(seed)
    photos = [any_plant(photographs()[number % 2], rng) for number in range(count)]
    scenes = [any_plant(drawn(rng), rng) for _ in range(count)]
    yield "photographs", photos
    yield "photographs, a quarter replaced", [replaced(each, rng) for each in photos]
    yield "drawn scenes", scenes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=40, help="planted pairs of each kind (40)")
    parser.add_argument("--generated", type=int, default=40, help="pairs that the miniature draws (40)")
    arguments = parser.parse_args()
    for name, pairs in planted(arguments.count):
        started = time.perf_counter()
        found = [placed_row(pair.source, pair.target) for pair in pairs]
        seconds = (time.perf_counter() - started) / len(pairs)
        errors = np.array([pair.error(row) for pair, row in zip(pairs, found, strict=True)])
        print(
            f"{name}: {(errors <= ALLOWED).mean():.1%} within {ALLOWED} pixels at every corner (median "
            f"{np.median(errors):.2f}, largest {errors.max():.2f}); {misaligned(found):.1%} called misaligned; "
            f"{seconds:.2f} s a pair"
        )
    found = [placed_row(*pair.images) for pair in generated(arguments.generated)]
    print(f"generated, nothing planted: {misaligned(found):.1%} of {len(found)} called misaligned")


def misaligned(rows: list[Row]) -> float:
    """The share of pairs that the filter rejects, as it is where nothing else is said."""
    settings = AlignmentSettings()
    found = displacement(columns_of_rows(rows, (CORNER, *FITS)), settings)
    return float((found >= settings.max_displacement).mean())


if __name__ == "__main__":
    main()
