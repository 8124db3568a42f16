"""The second half of learning single images: to find a named thing, which conversations did not teach.

In the conversations of `base` an answer can often be copied from an earlier one. Here all questions about a picture
stand beside each other: each sees the picture and itself alone, at the place it has when it is asked alone.
"""

import random
from pathlib import Path

import torch

from benchmarks.teaches.model import Asked, Encoder, load, save, small
from benchmarks.teaches.packing import by_answer, side_by_side
from benchmarks.teaches.skills import ask
from resources.miniature.scenes import draw_scene
from resources.miniature.training import Checkpoint, Optimisers, Progress, constant_then_linear, prepare

SEED = 72
STEPS = 3_000
BATCH = 16
LEARNING_RATE = 1e-3
CHECKPOINT_EVERY = 250
QUESTIONS = ("caption", "which thing", *["where"] * 2, *["is there"] * 6)
NEAR = 0.4
"""Of things that are not there, the share that nearly are. Where all are near, none of them teaches a first step."""


def questions(rng: random.Random) -> list[Asked]:
    """All that is asked of one picture that is drawn, in any order."""
    scene = draw_scene(rng)
    picture = small(scene.image)
    return [ask(rng, skill, scene, picture, NEAR) for skill in QUESTIONS]


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
        labels = batch.pop("labels")
        with torch.autocast("cpu", dtype=torch.bfloat16):
            outputs = model(**batch)
        loss = by_answer(outputs, labels)
        optimisers.step(loss, constant_then_linear(step, STEPS, constant=0.7))
        progress.report(loss.item())
        checkpoint.keep(step)
    save(model.eval(), output)
    checkpoint.remove()
