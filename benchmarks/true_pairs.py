"""Pairs of pictures that differ in one replaced object, with the truth about them: drawn ones and generated ones."""

import random
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from benchmarks.judge import Judge
from benchmarks.pair_generator import edited_captions
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from resources.miniature.scene_pairs import Box, draw_pair
from resources.miniature.scenes import SceneObject
from resources.pair_generator import PairGenerator

SEED = 2_000
BATCH = 20


@dataclass(frozen=True, slots=True)
class TruePair:
    """Two pictures (H, W, 3), their captions, and from left to right the objects in each with their boxes (xyxy)."""

    images: tuple[NDArray[np.uint8], NDArray[np.uint8]]
    captions: tuple[str, str]
    objects: tuple[tuple[tuple[SceneObject, Box], ...], ...]

    def replaced(self) -> tuple[tuple[SceneObject, Box], tuple[SceneObject, Box]]:
        """The object that was replaced and the one that replaces it."""
        return next(both for both in zip(*self.objects, strict=True) if both[0][0] != both[1][0])


@cache
def drawn(count: int) -> list[TruePair]:
    """`count` drawn pairs whose first picture has a combination that training never shows."""
    rng = random.Random(SEED)
    pairs = []
    for _ in range(count):
        first, second = draw_pair(rng, "replaced", held_out=True).scenes
        objects = tuple(
            tuple((thing, tuple(box)) for thing, box in zip(scene.objects, scene.boxes.tolist(), strict=True))
            for scene in (first, second)
        )
        pairs.append(TruePair((first.image, second.image), (first.caption, second.caption), objects))
    return pairs


@cache
def generated(count: int) -> list[TruePair]:
    """Of `count` pairs that the shipped pair generator makes from held-out captions, those that an independent judge
    finds to show what they should; the boxes are the judge's."""
    rng = random.Random(SEED)
    generator, judge = PairGenerator(load_recipe("miniature").models.pair_generator), Judge()
    prompts = [*edited_captions(rng, count // 2, 1), *edited_captions(rng, count - count // 2, 2)]
    pairs = []
    for start in range(0, count, BATCH):
        batch = prompts[start : start + BATCH]
        sources, targets = generator.generate(
            [source for source, _ in batch],
            [target for _, target in batch],
            list(range(SEED + start, SEED + start + len(batch))),
        )
        for captions, *images in zip(batch, sources, targets, strict=True):
            verdicts = [judge.judge(image) for image in images]
            if all(verdict.shows(caption) for verdict, caption in zip(verdicts, captions, strict=True)):
                objects = tuple(tuple((found.thing, found.box) for found in verdict.objects) for verdict in verdicts)
                pairs.append(TruePair((images[0], images[1]), captions, objects))
    return pairs
