"""Captioning: several questions about an image with the image read once, against reading it for each of them."""

from pathlib import Path

import numpy as np
import torch

from benchmarks.speed.timing import Figure, ratio, seconds, take_turns
from resources.captioner import Captioner, CaptionerSettings

QUESTION = "Describe the object inside the box [0.{0}0, 0.{0}0, 0.75, 0.75]."
ANSWER_TOKENS = 12


def measure(what: str, model: Path, images: int, regions: int, dtype: str, rounds: int) -> list[Figure]:
    """`regions` questions about each of the `images`, all in one batch."""
    count = images * regions
    captioner = Captioner(
        CaptionerSettings(model=str(model), dtype=dtype, batch_size=count, max_new_tokens=ANSWER_TOKENS)
    )
    side = captioner._processor.image_processor.size["height"]
    pictures = np.random.default_rng(0).integers(0, 256, (images, side, side, 3), np.uint8)
    questions = [QUESTION.format(number % regions) for number in range(count)]
    once = [[pictures[number // regions]] for number in range(count)]
    # A copy is another image.
    each = [[image.copy() for image in group] for group in once]
    same = sum(
        a == b for a, b in zip(captioner.answer(once, questions), captioner.answer(each, questions), strict=True)
    )
    with torch.inference_mode():
        times = take_turns(
            {"once": lambda: captioner.answer(once, questions), "each": lambda: captioner.answer(each, questions)},
            rounds,
        )
    tokens = len(captioner._processor.tokenizer(QUESTION.format(0))["input_ids"])
    what = f"{regions} questions an image, {what}"
    note = f"{same} of {count} answers the same; questions of {tokens} tokens, answers of {ANSWER_TOKENS}"
    return [
        ratio(f"an image read for each question / once, {what}", times["each"], times["once"], note=note),
        seconds(f"an answer, {what}", [time / count for time in times["once"]]),
    ]
