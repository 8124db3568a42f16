"""Colours as they are meant: a picture with an ICC profile brought to sRGB, and what became of the profile."""

import io

from PIL import Image, ImageCms

from imgdiff_assets.common.plain_text import printable, shortened

LARGEST_PROFILE = 4_000_000
"""Bytes; those of printers have one or two million."""

MODES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}
"""By the colour space of a profile, the mode of the pixels that it describes."""

SAME = 2
"""Levels of 255 by which a profile may differ from sRGB and be taken for it, as its own versions do."""

SRGB = ImageCms.createProfile("sRGB")


def to_srgb(image: Image.Image, profile: bytes) -> tuple[Image.Image | None, str | None]:
    """The image's colours in sRGB (RGB, without transparency), and what is to be recorded of its profile.

    No image where it is sRGB already, or the profile cannot be used: then the colours are taken as sRGB.
    """
    try:
        return _converted(image, profile)
    except Exception as error:  # whatever is raised, the profile is at fault, and the picture is good
        words = shortened(" ".join(str(error).split()) or type(error).__name__)
        return None, f"its colour profile cannot be used ({words}); taken as sRGB"


def _converted(image: Image.Image, profile: bytes) -> tuple[Image.Image | None, str | None]:
    if len(profile) > LARGEST_PROFILE:
        raise ValueError(f"it has {len(profile):,} bytes")
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    space = source.profile.xcolor_space
    if space not in MODES or (space != "RGB " and not image.mode.startswith(MODES[space][0])):
        raise ValueError(f"it is of {space.strip()} for a picture of {image.mode}")
    mode = MODES[space]
    transform = ImageCms.buildTransform(
        source,
        SRGB,
        mode,
        "RGB",
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
        ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    if mode == "RGB" and _changes_nothing(transform):
        return None, None
    # By way of RGBA, transparency of every kind is left behind alike.
    opaque = image.convert("RGBA").convert("RGB") if image.has_transparency_data else image
    converted = transform.apply(opaque.convert(mode))
    name = printable(ImageCms.getProfileDescription(source)) or "a profile without a name"
    return converted, f"{shortened(name, 80)}, converted to sRGB"


def _changes_nothing(transform: ImageCms.ImageCmsTransform) -> bool:
    """As seen on colours all over the cube: names of profiles say little."""
    levels = range(0, 256, 15)
    colours = Image.frombytes(
        "RGB",
        (len(levels) ** 2, len(levels)),
        bytes(c for r in levels for g in levels for b in levels for c in (r, g, b)),
    )
    seen = transform.apply(colours)
    return all(abs(one - other) <= SAME for one, other in zip(colours.tobytes(), seen.tobytes(), strict=True))
