"""Question and answer of a sample, and which split it belongs to."""

from collections.abc import Sequence
from typing import Any

from imgdiff_assets.common.hashing import seed_of

IMAGE_TOKEN = "<image>"


def conversation(question: str, answer: str) -> list[dict[str, str]]:
    """One turn over two images, in the form that LLaVA trainers read."""
    return [
        {"from": "human", "value": f"{IMAGE_TOKEN}\n{IMAGE_TOKEN}\n{question}"},
        {"from": "gpt", "value": answer},
    ]


def sentence(text: str) -> str:
    """The text with a capital letter and a full stop, as an answer reads."""
    text = " ".join(text.split())
    if not text:
        return text
    return text[0].upper() + text[1:] + ("" if text[-1] in ".!?" else ".")


def pick(options: Sequence[str], *identity: Any) -> str:
    """One of `options`, by a seed that is a function of `identity`."""
    return options[seed_of("pick", *identity) % len(options)]


def split(caption_id: str, seed: int, validation_fraction: float) -> str:
    """`validation` or `train`, by caption: no caption is on both sides, and no caption moves when others are added."""
    share = (seed_of("split", seed, caption_id) >> 10) / (1 << 53)
    return "validation" if share < validation_fraction else "train"
