"""How right the miniature pair generator is on prompts with combinations that it was never trained on."""

import random
from dataclasses import replace

import numpy as np
from tqdm import tqdm

from benchmarks.judge import Judge, difference_outside
from benchmarks.measurement import Measurement, percent
from resources.miniature.scenes import OBJECTS, caption, random_content
from resources.pair_generator import PairGenerator, PairGeneratorSettings

SEED = 1_000
BATCH = 20


def edited_captions(rng: random.Random, count: int, objects: int) -> list[tuple[str, str]]:
    """`count` held-out captions of so many objects, each with the caption in which one object became another."""
    pairs = []
    for _ in range(count):
        things, background = random_content(rng, objects, held_out=True)
        changed = rng.randrange(objects)
        name = rng.choice([name for name in OBJECTS if name not in {thing.name for thing in things}])
        edited = [replace(thing, name=name) if index == changed else thing for index, thing in enumerate(things)]
        pairs.append((caption(things, background), caption(edited, background)))
    return pairs


def measure(settings: PairGeneratorSettings, count: int) -> list[Measurement]:
    """Generate `count` pairs from one-object prompts and as many from two-object prompts, and judge both sides.

    A source image is what the pipeline makes of its prompt without any control, so it stands for plain generation.
    """
    rng = random.Random(SEED)
    generator, judge = PairGenerator(settings), Judge()
    sources_right: dict[int, list[bool]] = {1: [], 2: []}
    both_right: list[bool] = []
    differences: list[float] = []
    progress = tqdm(total=2 * count, desc="pair_generator", unit="pair")
    for objects in (1, 2):
        pairs = edited_captions(rng, count, objects)
        for start in range(0, count, BATCH):
            captions = pairs[start : start + BATCH]
            seeds = list(range(SEED + start, SEED + start + len(captions)))
            images = generator.generate([pair[0] for pair in captions], [pair[1] for pair in captions], seeds)
            for (source_caption, target_caption), source, target in zip(captions, *images, strict=True):
                seen = judge.judge(source), judge.judge(target)
                right = seen[0].shows(source_caption), seen[1].shows(target_caption)
                sources_right[objects].append(right[0])
                both_right.append(all(right))
                differences.append(difference_outside(source, target, seen[0].objects + seen[1].objects))
            progress.update(len(captions))
    progress.close()
    role = "pair_generator"
    return [
        Measurement(role, "one-object prompts: object, colour and background right", percent(sources_right[1]), 95),
        Measurement(role, "two-object prompts: everything right", percent(sources_right[2]), 90),
        Measurement(role, "one object edited: both images right", percent(both_right), 90),
        Measurement(role, "one object edited: median PSNR outside objects", float(np.median(differences)), 27, "dB"),
    ]
