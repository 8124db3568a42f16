"""Train the miniature verifier: a small ResNet that tells drawn scenes which look right from malformed ones.

Each scene is seen right and malformed, so that nothing but the form of its objects tells which is which; as it is
drawn, and as the pair generator's autoencoder reconstructs it, so that the marks of that say nothing either.
"""

import random
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import ResNetConfig, ResNetForImageClassification, ViTImageProcessor

from resources.images.crops import squash
from resources.miniature.malformed import LEARNED, draw_malformed
from resources.miniature.pictures import Pixels, reconstruct
from resources.miniature.training import Optimisers, Progress, constant_then_linear, prepare

SEED = 37
SCENES = 4_000
STEPS = 5_000
SCENES_PER_BATCH = 16
CHECKPOINT_EVERY = 500
SIDE = 96
WIDTHS = [16, 32, 64, 96]
MEAN = STD = [0.5] * 3
LABELS = ("malformed", "natural")


def build_model() -> ResNetForImageClassification:
    """A network with random weights; the pictures are enlarged, for its first layers halve them twice."""
    config = ResNetConfig(
        embedding_size=16,
        hidden_sizes=WIDTHS,
        depths=[1, 1, 1, 1],
        layer_type="basic",
        id2label=dict(enumerate(LABELS)),
        label2id={label: number for number, label in enumerate(LABELS)},
    )
    return ResNetForImageClassification(config)


def training_pictures(pair_generator: Path) -> tuple[Pixels, Pixels]:
    """Of each scene a malformed picture and the right one, (scenes, 2, H, W, 3): as drawn, as reconstructed."""
    rng = random.Random(SEED)
    scenes = (draw_malformed(rng, rng.choice(tuple(LEARNED.values()))) for _ in range(SCENES))
    drawn = np.stack([[malformed, scene.image] for scene, malformed in scenes])
    return drawn, reconstruct(drawn, pair_generator / "vae")


def _batch(rng: random.Random, views: tuple[Pixels, Pixels]) -> tuple[list[Pixels], Tensor]:
    """Scenes malformed, then the same scenes right, as wide a part of each as of the other; and which is which."""
    pictures: tuple[list[Pixels], list[Pixels]] = [], []
    for _ in range(SCENES_PER_BATCH):
        view = rng.choice(views)
        both = view[rng.randrange(len(view))]
        height, width = both.shape[1:3]
        left, top, right, bottom = (rng.randint(0, 4) for _ in range(4))
        for side, picture in zip(pictures, both, strict=True):
            side.append(picture[top : height - bottom, left : width - right])
    return [*pictures[0], *pictures[1]], torch.arange(2).repeat_interleave(SCENES_PER_BATCH)


def _loss(trained: nn.ModuleDict, pixels: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of the label, and of where the picture is malformed, which says what to look at."""
    seen = trained["model"](pixel_values=pixels, output_hidden_states=True)
    told = trained["places"](seen.hidden_states[-2])[:, 0]
    malformed, right = pixels.chunk(2)
    differs = ((malformed - right).abs().amax(1, keepdim=True) > 0.5).float()
    wrong = functional.adaptive_max_pool2d(differs, list(told.shape[-2:]))[:, 0]
    return functional.cross_entropy(seen.logits, labels) + functional.binary_cross_entropy_with_logits(
        told, torch.cat([wrong, torch.zeros_like(wrong)])
    )


def train(output: Path) -> None:
    """Train from nothing, or go on from the checkpoint that is left in `output`; save model and processor there.

    Every step draws from its own seed, so a training that was interrupted ends as one that was not.
    """
    output.mkdir(parents=True, exist_ok=True)
    views = training_pictures(output.parent / "pair_generator")
    prepare(SEED)
    model = build_model().train()
    trained = nn.ModuleDict({"model": model, "places": nn.Conv2d(WIDTHS[-2], 1, 1)})
    optimisers = Optimisers(trained, 2e-3, lambda name: False)
    checkpoint, first = output / ".checkpoint", 0
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        trained.load_state_dict(saved["trained"])
        optimisers.load_state_dict(saved["optimisers"])
        first = saved["step"]
    progress = Progress("verifier", STEPS, first)
    for step in progress:
        pictures, labels = _batch(random.Random(SEED + step), views)
        loss = _loss(trained, squash(pictures, (SIDE, SIDE), MEAN, STD), labels)
        optimisers.step(loss, constant_then_linear(step, STEPS))
        progress.report(loss.item())
        if (step + 1) % CHECKPOINT_EVERY == 0:
            state = {"trained": trained.state_dict(), "optimisers": optimisers.state_dict(), "step": step + 1}
            torch.save(state, checkpoint.with_suffix(".partial"))
            checkpoint.with_suffix(".partial").replace(checkpoint)
    model.eval().half().save_pretrained(output)
    size = {"height": SIDE, "width": SIDE}
    ViTImageProcessor(size=size, image_mean=MEAN, image_std=STD).save_pretrained(output)
    checkpoint.unlink(missing_ok=True)
