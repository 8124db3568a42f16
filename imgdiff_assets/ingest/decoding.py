"""Encoded pictures to pixels, in a process of its own: `python -m imgdiff_assets.ingest.decoding`.

Pictures come from anywhere, and decoders are large programs in C. So this process has little memory, knows no secret,
and may be killed; `imgdiff_assets.ingest.photograph` starts it, and gives each picture only so many seconds.
"""

import io
import json
import struct
import sys
import warnings
from dataclasses import dataclass
from typing import Any, BinaryIO

from PIL import ExifTags, Image, PngImagePlugin, UnidentifiedImageError

from imgdiff_assets.common.errors import ImgDiffError
from imgdiff_assets.common.plain_text import shortened
from imgdiff_assets.ingest.colour_profiles import to_srgb
from imgdiff_assets.ingest.own_process import MOST_MEMORY, limit_memory

FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "JPEG2000", "TIFF", "BMP", "GIF", "PPM")
"""What is read. No format that is a program (EPS, PDF) and none that needs other software."""

SMALLEST_SIDE = 16
MOST_PIXELS = 64_000_000
MOST_TEXT = 64 * 2**20
"""Bytes of texts and colour profile in a PNG: a megabyte at most, as Pillow has it, costs good pictures of programs
that write all that they know of a picture into it."""

PAPER_WHITE = (255, 255, 255)
EXIF, NO_EXIF = b"Exif", b"skip"
"""What EXIF is marked with in JPEG and AVIF, and what no decoder knows."""

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""By the orientation that EXIF tells, what brings the picture upright."""


class UnusableImage(ImgDiffError, ValueError):
    """An image that cannot be used; the message says what it is, after "image"."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """The bytes of (H, W, 3) uint8 RGB pixels.

    `colours` says what became of a colour profile, None where there was nothing to do; `former` are the pixels as they
    were when profiles were not looked at, where they are others.
    """

    width: int
    height: int
    pixels: bytes
    colours: str | None = None
    former: bytes | None = None


def decode(data: bytes) -> Decoded:
    """Encoded bytes to RGB pixels.

    Turned as its EXIF orientation says; colours brought to sRGB; transparency laid on white; 16-bit grey scaled to 8
    bits; grey, palette and CMYK converted. Raises UnusableImage for anything that is not one still image of a usable
    size.
    """
    try:
        return _opened(data)
    except UnusableImage:
        hidden = data.replace(EXIF, NO_EXIF)
        if hidden == data:
            raise
        # A picture whose EXIF alone is broken is good; a decoder that reads both gives up both.
        return _opened(hidden)


def _opened(data: bytes) -> Decoded:
    try:
        with warnings.catch_warnings():
            # Sizes are checked here, by a limit of our own.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                return _decode(image)
    except UnusableImage:
        raise
    except UnidentifiedImageError:
        raise UnusableImage(f"is not an image of a known format ({', '.join(FORMATS)})") from None
    except Image.DecompressionBombError:
        raise UnusableImage(f"has more than {MOST_PIXELS:,} pixels, as a decompression bomb has") from None
    except MemoryError:
        raise UnusableImage(f"needs more than {MOST_MEMORY / 2**30:.0f} GiB of memory") from None
    except Exception as error:  # whatever a decoder raises, the picture is at fault
        words = shortened(" ".join(str(error).split()) or type(error).__name__)
        raise UnusableImage(f"is truncated or damaged ({words})") from None


def _decode(image: Image.Image) -> Decoded:
    _check(image)
    image.load()
    upright = _eight_bits(_upright(image))
    plain = _on_paper(upright, upright)
    profile = image.info.get("icc_profile")
    colours, said = to_srgb(upright, profile) if profile else (None, None)
    if colours is None:
        return Decoded(*plain.size, plain.tobytes(), said)
    return Decoded(*plain.size, _on_paper(colours, upright).tobytes(), said, plain.tobytes())


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


def _upright(image: Image.Image) -> Image.Image:
    try:
        turn = TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # whatever is raised, what is said about the picture is at fault, and the picture is good
        return image
    return image if turn is None else image.transpose(turn)


def _eight_bits(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise UnusableImage("has floating-point values, whose black and white are not known")
    if not image.mode.startswith("I"):
        return image
    # Needed by few pictures, and long to import.
    import numpy as np

    values = np.asarray(image, dtype=np.int64)
    if values.min() < 0 or values.max() > 0xFFFF:
        raise UnusableImage("has grey values beyond 16 bits")
    return Image.fromarray(np.round(values / 257).astype(np.uint8))


def _on_paper(colours: Image.Image, layer: Image.Image) -> Image.Image:
    """The colours in RGB, laid on white as the transparency of `layer` says."""
    if not layer.has_transparency_data:
        return colours.convert("RGB")
    coloured = colours.convert("RGBA")
    if colours is not layer:
        coloured.putalpha(layer.convert("RGBA").getchannel("A"))
    return Image.alpha_composite(Image.new("RGBA", coloured.size, PAPER_WHITE), coloured).convert("RGB")


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Decode pictures until there are no more: each comes as its length (8 bytes) and its bytes.

    An answer is a length (8 bytes) and JSON of that length, and, where there was no problem, the pixels, twice where
    there are former ones.
    """
    while head := requests.read(8):
        data = requests.read(struct.unpack(">Q", head)[0])
        pixels: tuple[bytes, ...] = ()
        try:
            decoded = decode(data)
        except UnusableImage as error:
            answer: dict[str, Any] = {"problem": str(error)}
        else:
            pixels = (decoded.pixels,) if decoded.former is None else (decoded.pixels, decoded.former)
            answer = {
                "width": decoded.width,
                "height": decoded.height,
                "colours": decoded.colours,
                "pictures": len(pixels),
            }
        text = json.dumps(answer).encode()
        for part in (struct.pack(">Q", len(text)), text, *pixels):
            answers.write(part)
        answers.flush()


if __name__ == "__main__":
    limit_memory()
    PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY = MOST_TEXT
    Image.init()
    serve(sys.stdin.buffer, sys.stdout.buffer)
