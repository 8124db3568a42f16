"""The model before it is taught to compare: trained on skills of one image alone, on scenes that are drawn for it.

It never sees two images. Half of the pictures are as drawn, half as the pair generator's autoencoder gives them back.
"""

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.teaches.model import Asked, Encoder, build_model, save
from benchmarks.teaches.skills import SKILLS, ask
from resources.miniature.pictures import reconstruct
from resources.miniature.scenes import Scene, draw_scene
from resources.miniature.train import WEIGHTS
from resources.miniature.training import Optimisers, Progress, constant_then_linear, prepare

SEED = 71
SCENES = 4_000
STEPS = 1_200
BATCH = 16
CHECKPOINT_EVERY = 200
LEARNING_RATE = 1.5e-3


def scenes(seed: int, count: int) -> list[tuple[Scene, np.ndarray]]:
    """Drawn scenes, each with two pictures of it, uint8 (2, H, W, 3): as drawn, and as the autoencoder has it."""
    rng = random.Random(seed)
    drawn = [draw_scene(rng) for _ in range(count)]
    images = np.stack([scene.image for scene in drawn])
    seen = reconstruct(images, WEIGHTS / "pair_generator" / "vae")
    return [(scene, np.stack(both)) for scene, *both in zip(drawn, images, seen, strict=True)]


def conversation(rng: random.Random, scene: Scene, picture: np.ndarray) -> Asked:
    """All skills asked of one picture; the caption, which tells all, comes first or last."""
    others = [*SKILLS[1:], *rng.choices(SKILLS[1:], k=2)]
    rng.shuffle(others)
    skills = [SKILLS[0], *others] if rng.random() < 0.5 else [*others, SKILLS[0]]
    asked = [ask(rng, skill, scene, picture) for skill in skills]
    return replace(asked[0], further=tuple((each.question, each.answer) for each in asked[1:]))


def train(output: Path) -> None:
    """Train from nothing, or go on from the checkpoint in `output`, where model and processor are saved."""
    output.mkdir(parents=True, exist_ok=True)
    prepare(SEED)
    encoder = Encoder()
    model = build_model(encoder.processor).train()
    optimisers = Optimisers(model, LEARNING_RATE, lambda name: "layers." in name)
    checkpoint, first = output / ".checkpoint", 0
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(saved["model"])
        optimisers.load_state_dict(saved["optimisers"])
        first = saved["step"]
    seen = scenes(SEED, SCENES)
    progress = Progress("base", STEPS, first)
    for step in progress:
        rng = random.Random(SEED + step)
        samples = []
        for _ in range(BATCH):
            # Every other picture is a new one.
            if rng.random() < 0.5:
                scene = draw_scene(rng)
                picture = scene.image
            else:
                scene, pictures = rng.choice(seen)
                picture = pictures[1]
            samples.append(conversation(rng, scene, picture))
        loss = model(**encoder.batch(samples)).loss
        optimisers.step(loss, constant_then_linear(step, STEPS, constant=0.4))
        progress.report(loss.item())
        if (step + 1) % CHECKPOINT_EVERY == 0:
            state = {"model": model.state_dict(), "optimisers": optimisers.state_dict(), "step": step + 1}
            torch.save(state, checkpoint.with_suffix(".partial"))
            checkpoint.with_suffix(".partial").replace(checkpoint)
    save(model.eval(), output)
    checkpoint.unlink(missing_ok=True)
