"""The second half of learning single images: to find a named thing, which conversations did not teach.

In the conversations of `base` an answer can often be copied from an earlier one. Here all questions about a picture
stand beside each other: each sees the picture and itself alone, at the place it has when it is asked alone.
"""

import random
from pathlib import Path

import torch

from benchmarks.teaches.model import Asked, Encoder, load, save, small
from benchmarks.teaches.packing import side_by_side
from benchmarks.teaches.skills import ask
from resources.miniature.scenes import draw_scene
from resources.miniature.training import Checkpoint, Optimisers, Progress, constant_then_linear, prepare

SEED = 72
STEPS = 500
BATCH = 16
LEARNING_RATE = 1e-3
CHECKPOINT_EVERY = 100
QUESTIONS = ("caption", "which thing", "where", "where", "is there", "is there", "is there", "is there")


def questions(rng: random.Random) -> list[Asked]:
    """All that is asked of one picture that is drawn, in any order."""
    scene = draw_scene(rng)
    picture = small(scene.image)
    return [ask(rng, skill, scene, picture) for skill in QUESTIONS]


def train(base: Path, output: Path) -> None:
    """Go on from the model in `base`, or from the checkpoint in `output`, where model and processor are saved."""
    output.mkdir(parents=True, exist_ok=True)
    prepare(SEED)
    encoder, model = Encoder(), load(base).train()
    model.model.vision_tower.requires_grad_(False)
    optimisers = Optimisers(model, LEARNING_RATE, lambda name: "layers." in name and "vision_tower" not in name)
    parts = {"model": model, "optimisers": optimisers}
    checkpoint = Checkpoint(output / ".checkpoint", parts, every=CHECKPOINT_EVERY)
    progress = Progress("grounding", STEPS, checkpoint.resume())
    for step in progress:
        rng = random.Random(f"{SEED} {step}")
        batch = side_by_side(encoder, [questions(rng) for _ in range(BATCH)])
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = model(**batch).loss
        optimisers.step(loss, constant_then_linear(step, STEPS, constant=0.6))
        progress.report(loss.item())
        checkpoint.keep(step)
    save(model.eval(), output)
    checkpoint.remove()
