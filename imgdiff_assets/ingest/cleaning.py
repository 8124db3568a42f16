"""What text is a caption: any of a sensible length without control characters, in one spelling."""

import unicodedata

from imgdiff_assets.common.errors import ImgDiffError

MAX_CHARACTERS = 2_000


class UnusableText(ImgDiffError, ValueError):
    """A value that is no caption; the message says why, after its name."""


def clean(value: object) -> str:
    """The caption in Unicode's composed form (NFC), its white space normalised. Raises UnusableText."""
    if value is None:
        raise UnusableText("is missing")
    if not isinstance(value, str):
        raise UnusableText(f"is {type(value).__name__}, not text")
    caption = " ".join(unicodedata.normalize("NFC", value).split())
    if not caption:
        raise UnusableText("is empty")
    if len(caption) > MAX_CHARACTERS:
        raise UnusableText(f"has {len(caption):,} characters; captions have at most {MAX_CHARACTERS:,}")
    for character in caption:
        if unicodedata.category(character) in ("Cc", "Cs"):
            raise UnusableText(f"has the control character U+{ord(character):04X}")
    return caption
