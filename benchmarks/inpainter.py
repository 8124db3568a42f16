"""How well the miniature inpainter erases an object, on scenes with combinations that it was never trained on."""

import random

import numpy as np
from tqdm import tqdm

from benchmarks.judge import Judge
from benchmarks.measurement import Measurement, percent
from resources.images.crops import padded
from resources.inpainter import Inpainter, InpainterSettings
from resources.miniature.scenes import IMAGE_SIZE, draw_scene, random_content

SEED = 4_000
BATCH = 20
MASK_PADDING = 3


def measure(settings: InpainterSettings, count: int) -> list[Measurement]:
    """Erase one object of each of `count` scenes, and compare with the scene that was drawn without it.

    An erasure is right when a judge finds exactly the other objects and the background, and nothing else.
    """
    rng = random.Random(SEED)
    inpainter, judge = Inpainter(settings), Judge()
    right: list[bool] = []
    untouched: list[bool] = []
    likeness: list[float] = []
    for start in tqdm(range(0, count, BATCH), desc="inpainter", unit="batch"):
        scenes, bare, masks = [], [], []
        for number in range(start, min(start + BATCH, count)):
            scene = draw_scene(rng, *random_content(rng, 1 + number % 2, held_out=True))
            index = rng.randrange(len(scene.objects))
            others = (*scene.objects[:index], *scene.objects[index + 1 :])
            x1, y1, x2, y2 = padded(scene.boxes[index].tolist(), MASK_PADDING, IMAGE_SIZE, IMAGE_SIZE)
            mask = np.zeros((IMAGE_SIZE, IMAGE_SIZE), bool)
            mask[y1:y2, x1:x2] = True
            scenes.append(scene)
            masks.append(mask)
            bare.append(draw_scene(rng, others, scene.background, scene.layout.without(index)))
        seeds = range(SEED + start, SEED + start + len(scenes))
        erased = inpainter.erase([scene.image for scene in scenes], masks, seeds)
        for scene, wanted, mask, image in zip(scenes, bare, masks, erased, strict=True):
            seen = judge.judge(image)
            right.append(
                (tuple(found.thing for found in seen.objects), seen.background) == (wanted.objects, wanted.background)
            )
            untouched.append(bool((image[~mask] == scene.image[~mask]).all()))
            error = np.square(image[mask].astype(np.float32) - wanted.image[mask].astype(np.float32)).mean()
            likeness.append(float(10 * np.log10(255**2 / max(error, 1e-3))))
    role = "inpainter"
    return [
        Measurement(role, "the object gone, all else there, nothing new", percent(right), 95),
        Measurement(role, "erasures that change no pixel outside the mask", percent(untouched), 100),
        Measurement(
            role, "median PSNR inside the mask to the scene without the object", float(np.median(likeness)), 25, "dB"
        ),
    ]
