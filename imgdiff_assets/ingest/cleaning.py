"""What text is a caption: any of a sensible length without control characters, in one spelling."""

import re
import unicodedata

from imgdiff_assets.common.errors import ImgDiffError

MAX_CHARACTERS = 2_000

UNSEEN = re.compile(
    "(\U0001f3f4[\U000e0020-\U000e007e]{1,8}\U000e007f)|"  # the flag of a region, which is spelt in tags
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e00ff]"
)
"""What is not seen: byte order and direction marks, soft hyphens, zero-width spaces, fillers, tags.

Two captions that differ in it alone are one. Variation selectors are not in it: they choose what is seen.
"""

JOINER = re.compile("[\u200c\u200d]")
JOINED = {"Lo", "Mn", "Mc", "Me", "So", "Sm", "Sk"}
"""Categories of what a (non-)joiner may stand between: emoji, and letters that join. Elsewhere it does nothing."""


class UnusableText(ImgDiffError, ValueError):
    """A value that is no caption; the message says why, after its name."""


def clean(value: object) -> str:
    """The caption without characters that are not seen, in Unicode's composed form (NFC), its white space normalised.

    Raises UnusableText.
    """
    if value is None:
        raise UnusableText("is missing")
    if not isinstance(value, str):
        raise UnusableText(f"is {type(value).__name__}, not text")
    caption = " ".join((value if value.isascii() else _seen(value)).split())
    if not caption:
        raise UnusableText("is empty")
    if len(caption) > MAX_CHARACTERS:
        raise UnusableText(f"has {len(caption):,} characters; captions have at most {MAX_CHARACTERS:,}")
    if caption.isprintable():
        return caption
    for character in caption:
        if unicodedata.category(character) in ("Cc", "Cs"):
            raise UnusableText(f"has the control character U+{ord(character):04X}")
    return caption


def _seen(text: str) -> str:
    text = unicodedata.normalize("NFC", UNSEEN.sub(lambda found: found[1] or "", text))
    seen = JOINER.sub(lambda found: found[0] if _joins(text, found.start()) else "", text)
    # Without a joiner, letters may compose that did not before.
    return text if seen == text else _seen(seen)


def _joins(text: str, place: int) -> bool:
    around = text[max(place - 1, 0) : place], text[place + 1 : place + 2]
    return all(letter and unicodedata.category(letter) in JOINED for letter in around)
