"""What may differ between two pictures that show the same: where the window lies, light, compression.

Nothing is invented beyond a picture's edge: what is shifted is two windows of one picture.
"""

import io
import random
from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image

from imgdiff_assets.common.aliases import Pixels

FARTHEST = 3 / 64
"""How far windows are shifted, and edges cropped, as a share of the shorter side."""

LIGHT = (0.03, 0.1)
"""By what share a picture gets brighter or darker."""

QUALITY = (50, 90)
"""Of JPEG."""

Way = Callable[[Pixels, random.Random], tuple[Pixels, Pixels]]
"""A picture (H, W, 3) uint8 to two of one size that show the same."""


def shifted(picture: Pixels, rng: random.Random) -> tuple[Pixels, Pixels]:
    """Two windows, a few pixels smaller than the picture, which lie a few pixels apart."""
    farthest = _farthest(picture)
    steps = range(-farthest, farthest + 1)
    x, y = rng.choice([(x, y) for x in steps for y in steps if x or y])
    height, width = picture.shape[:2]

    def window(x: int, y: int) -> Pixels:
        return picture[max(y, 0) : height + min(y, 0), max(x, 0) : width + min(x, 0)]

    return window(x, y), window(-x, -y)


def cropped(picture: Pixels, rng: random.Random) -> tuple[Pixels, Pixels]:
    """The picture, and without its edges, as large again."""
    height, width = picture.shape[:2]
    less = rng.randint(1, _farthest(picture)) / min(height, width)
    box = (less * width, less * height, (1 - less) * width, (1 - less) * height)
    inner = Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC, box)
    return picture, np.asarray(inner)


def relit(picture: Pixels, rng: random.Random) -> tuple[Pixels, Pixels]:
    """The picture, and a little brighter or darker."""
    gain = 1 + rng.choice([-1, 1]) * rng.uniform(*LIGHT)
    return picture, np.clip(picture * gain, 0, 255).round().astype(np.uint8)


def recompressed(picture: Pixels, rng: random.Random) -> tuple[Pixels, Pixels]:
    """The picture, and as JPEG has it."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="JPEG", quality=rng.randint(*QUALITY))
    with Image.open(buffer) as image:
        return picture, np.asarray(image.convert("RGB"))


WAYS: Mapping[str, Way] = {way.__name__: way for way in (shifted, cropped, relit, recompressed)}


def _farthest(picture: Pixels) -> int:
    return max(1, round(FARTHEST * int(min(picture.shape[:2]))))
