"""Images as people have them, brought to 8-bit RGB as they are meant to be seen, or refused by name."""

import io
import warnings
import zlib

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from imgdiff_assets.common.aliases import Pixels
from imgdiff_assets.common.errors import ImgDiffError

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM")
"""What is read. No format that is a program (EPS, PDF) and none that needs other software."""

SMALLEST_SIDE = 16
MOST_PIXELS = 64_000_000
FITS = ("refuse", "resize", "pad")
PAPER_WHITE = (255, 255, 255)


class UnusableImage(ImgDiffError, ValueError):
    """An image that cannot be used; the message says what it is, after "image"."""


def read_image(data: bytes) -> Pixels:
    """Encoded bytes to (H, W, 3) uint8 RGB.

    Turned as its EXIF orientation says; transparency laid on white; 16-bit grey scaled to 8 bits; grey, palette and
    CMYK converted. Raises UnusableImage for anything that is not one still image of a usable size.
    """
    try:
        with warnings.catch_warnings():
            # Sizes are checked here, by a limit of our own.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                _check(image)
                image.load()
                upright = ImageOps.exif_transpose(image)
                return np.array(_to_rgb(upright))
    except UnidentifiedImageError:
        raise UnusableImage(f"is not an image of a known format ({', '.join(FORMATS)})") from None
    except Image.DecompressionBombError:
        raise UnusableImage(f"has more than {MOST_PIXELS:,} pixels, as a decompression bomb has") from None
    except (OSError, SyntaxError, EOFError, zlib.error) as error:
        raise UnusableImage(f"is truncated or damaged ({' '.join(str(error).split())})") from None


def align(source: Pixels, target: Pixels, fit: str) -> tuple[Pixels, Pixels]:
    """Two images of one size: as they are, or made so by `fit`.

    `resize` brings the target to the source's size; `pad` adds black on the right and at the bottom, so that boxes
    keep their corners. Raises UnusableImage when sizes differ and `fit` is `refuse`.
    """
    if source.shape == target.shape:
        return source, target
    if fit == "refuse":
        sizes = " and ".join(f"{image.shape[1]} x {image.shape[0]}" for image in (source, target))
        raise UnusableImage(f"sizes differ: {sizes} pixels (see --fit)")
    if fit == "resize":
        size = (source.shape[1], source.shape[0])
        return source, np.array(Image.fromarray(target).resize(size, Image.Resampling.LANCZOS))
    height, width = (max(sides) for sides in zip(source.shape[:2], target.shape[:2], strict=True))
    padded = []
    for image in (source, target):
        canvas = np.zeros((height, width, 3), dtype=np.uint8)
        canvas[: image.shape[0], : image.shape[1]] = image
        padded.append(canvas)
    return padded[0], padded[1]


def _check(image: Image.Image) -> None:
    """By what the header says, before anything is decoded."""
    width, height = image.size
    if min(width, height) < SMALLEST_SIDE:
        raise UnusableImage(f"has {width} x {height} pixels; each side must have at least {SMALLEST_SIDE}")
    if width * height > MOST_PIXELS:
        raise UnusableImage(f"has {width} x {height} pixels; at most {MOST_PIXELS:,} are read")
    # A camera's MPO holds a preview or the other eye's view beside the photograph.
    frames = getattr(image, "n_frames", 1) if image.format != "MPO" else 1
    if frames > 1:
        raise UnusableImage(f"is animated or has several pages ({frames} frames); a still image is needed")


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        values = np.asarray(image, dtype=np.int64)
        if values.min() < 0 or values.max() > 0xFFFF:
            raise UnusableImage("has grey values beyond 16 bits")
        return Image.fromarray(np.round(values / 257).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise UnusableImage("has floating-point values, whose black and white are not known")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        paper = Image.new("RGBA", layer.size, PAPER_WHITE)
        return Image.alpha_composite(paper, layer).convert("RGB")
    return image.convert("RGB")
