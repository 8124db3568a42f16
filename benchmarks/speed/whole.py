"""The whole work on a pair, stage by stage: seconds, memory, what bounds it, and its cost beside the paper's."""

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.speed.pairs import SOURCE, TARGET
from benchmarks.speed.random_models import (
    Sizes,
    save_captioner,
    save_encoder,
    save_matcher,
    save_pair_generator,
    save_segmenter,
)
from benchmarks.speed.timing import Figure, clock, peak_memory, seconds
from resources.captioner import Captioner, CaptionerSettings
from resources.image_text_encoder import ImageTextEncoder, ImageTextEncoderSettings
from resources.image_text_matcher import ImageTextMatcher, ImageTextMatcherSettings
from resources.images.crops import cut
from resources.loading import devices
from resources.pair_generator import PairGenerator, PairGeneratorSettings
from resources.segmenter import Segmenter, SegmenterSettings

PAPER_SECONDS = 13.2
"""4.5 days on four A100 for 118,000 pairs: the paper's generation alone, without its filtering."""

SAVERS: dict[str, Callable[[Path, Sizes], None]] = {
    "pair_generator": save_pair_generator,
    "segmenter": save_segmenter,
    "encoder": save_encoder,
    "matcher": save_matcher,
    "captioner": save_captioner,
}


@dataclass(frozen=True, slots=True)
class Load:
    """How much work a pair is; of the regions, so many are compared, matched and captioned."""

    image_size: int = 1024
    steps: int = 50
    points_per_side: int = 32
    compared: int = 20
    matched: int = 10
    captioned: int = 5
    answer_tokens: int = 64


def save_models(folder: Path, sizes: Sizes, roles: Iterable[str] = tuple(SAVERS)) -> dict[str, Path]:
    """Save models of one size under `folder`, those that are not there yet; returns their folders by role."""
    for role in roles:
        if not (folder / role).exists():
            unfinished = folder / f"{role}.unfinished"
            shutil.rmtree(unfinished, ignore_errors=True)  # of a run that was cut off
            SAVERS[role](unfinished, sizes)
            unfinished.rename(folder / role)
    return {role: folder / role for role in roles}


def measure(models: dict[str, Path], pairs: int, load: Load, dtype: str) -> list[Figure]:
    """Each stage over `pairs` pairs, its model loaded for it and let go after it."""
    source = np.random.default_rng(0).integers(0, 256, (load.image_size, load.image_size, 3), np.uint8)
    images = [source, 255 - source] * pairs
    side = load.image_size // 4
    boxes = [(number, number, number + side, number + side) for number in range(load.compared)]
    crops = [cut(image, box) for image in images for box in boxes]
    questions = ["Describe the object inside the box [0.25, 0.25, 0.50, 0.50]."] * (2 * pairs * load.captioned)
    questions += ["In the red box, how does the right picture differ from the left one?"] * (pairs * load.captioned)
    place = {"dtype": dtype}

    def generate() -> object:
        settings = PairGeneratorSettings(
            model=str(models["pair_generator"]),
            image_size=load.image_size,
            num_inference_steps=load.steps,
            batch_size=min(4, pairs),
            **place,
        )
        return devices.load(PairGenerator, settings).generate([SOURCE] * pairs, [TARGET] * pairs, range(pairs))

    def compare(what: list[np.ndarray]) -> object:
        settings = ImageTextEncoderSettings(model=str(models["encoder"]), batch_size=256, **place)
        return devices.load(ImageTextEncoder, settings).encode_images(what)

    def propose() -> object:
        settings = SegmenterSettings(
            model=str(models["segmenter"]), points_per_side=load.points_per_side, pred_iou_threshold=0.5, **place
        )
        return devices.load(Segmenter, settings).propose(images)

    def match() -> object:
        settings = ImageTextMatcherSettings(model=str(models["matcher"]), batch_size=64, **place)
        some = crops[: 2 * pairs * load.matched]
        return devices.load(ImageTextMatcher, settings).match(some, ["ball", "star"] * (len(some) // 2))

    def caption() -> object:
        settings = CaptionerSettings(
            model=str(models["captioner"]), max_new_tokens=load.answer_tokens, batch_size=16, **place
        )
        shown = [[images[number % len(images)]] for number in range(len(questions))]
        return devices.load(Captioner, settings).answer(shown, questions)

    stages: dict[str, list[Callable[[], object]]] = {
        "image_pairs": [generate],
        "filtered_pairs": [lambda: compare(images)],
        "bounding_boxes": [propose, lambda: compare(crops), match],
        "captions": [caption],
    }
    figures, costs = [], {}
    for stage, steps in stages.items():
        costs[stage], memory = 0.0, 0.0
        for step in steps:
            devices.unload_all()
            step()  # loads the model, and warms it up
            memory = max(memory, peak_memory(step))
            started = clock()
            step()
            costs[stage] += (clock() - started) / pairs
        note = f"{memory:,.0f} MiB beyond the weights"
        figures.append(seconds(f"{stage}, a pair", [costs[stage]], note))
    devices.unload_all()
    whole, slowest = sum(costs.values()), max(costs, key=lambda stage: costs[stage])
    return [
        *figures,
        Figure("pairs per second, all stages", 1 / whole, "/s", note=f"bounded by {slowest}"),
        Figure(
            "cost of a pair beside the paper's generation",
            whole / PAPER_SECONDS,
            "×",
            "",
            note=f"{whole:.1f} s / {PAPER_SECONDS} A100-seconds",
        ),
    ]
