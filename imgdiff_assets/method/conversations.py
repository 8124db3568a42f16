"""Question and answer of a sample, and which split it belongs to."""

import re
from collections.abc import Sequence
from typing import Any

from imgdiff_assets.common.hashing import seed_of
from imgdiff_assets.method.special_tokens import without_tokens

IMAGE_TOKEN = "<image>"
IMAGE_TOKENS = f"{IMAGE_TOKEN}\n" * 2
"""What every question begins with."""

_ENDED = re.compile(r"[.!?。！？…][\"”“’»」』)]*$")
_UNSPACED = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff][”」』)]?$")


def conversation(question: str, answer: str) -> list[dict[str, str]]:
    """One turn over two images, in the form that LLaVA trainers read; its image tokens are the only tokens in it."""
    return [
        {"from": "human", "value": f"{IMAGE_TOKENS}{without_tokens(question)}"},
        {"from": "gpt", "value": without_tokens(answer)},
    ]


def sentence(text: str) -> str:
    """The text with a capital letter and a full stop, as an answer reads."""
    text = " ".join(text.split())
    stop = "" if not text or _ENDED.search(text) else "。" if _UNSPACED.search(text) else "."
    return text[:1].upper() + text[1:] + stop


def pick(options: Sequence[str], *identity: Any) -> str:
    """One of `options`, by a seed that is a function of `identity`."""
    return options[seed_of("pick", *identity) % len(options)]


def split(caption_id: str, seed: int, validation_fraction: float) -> str:
    """`validation` or `train`, by caption: no caption is on both sides, and no caption moves when others are added."""
    return "validation" if share_of(caption_id, seed) < validation_fraction else "train"


def share_of(caption_id: str, seed: int) -> float:
    """A number from 0 up to 1, by caption: those with the smallest validate."""
    return (seed_of("split", seed, caption_id) >> 10) / (1 << 53)
