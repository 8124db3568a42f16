"""Train the miniature verifier: a small ResNet that tells drawn scenes which look right from malformed ones.

Each scene is seen right and malformed, so that nothing but the form of its objects tells which is which; as it is
drawn, and as the pair generator's autoencoder reconstructs it, so that the marks of that say nothing either. At the
end right scenes also come as the generator repaints them, for its own hand is no mistake.
"""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import ResNetConfig, ResNetForImageClassification, ViTImageProcessor

from resources.images.crops import squash
from resources.miniature.malformed import LEARNED, draw_malformed
from resources.miniature.pictures import Phases, Pixels, View, reconstruct, repaint
from resources.miniature.scene_pairs import ScenePair
from resources.miniature.training import Optimisers, Progress, constant_then_linear, prepare

SEED = 37
SCENES = 4_000
REPAINTED_PAIRS = 500
PHASES: Phases = ((("drawn", "reconstructed"), 5_000), (("drawn", "reconstructed", "repainted"), 2_500))
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


def training_pictures(pair_generator: Path) -> dict[View, Pixels]:
    """Of each scene a malformed picture and the right one, (scenes, 2, H, W, 3), in every view.

    What the generator repaints is right whatever it was given, so only right scenes are, and fewer of them.
    """
    rng = random.Random(SEED)
    made = [draw_malformed(rng, rng.choice(tuple(LEARNED.values()))) for _ in range(SCENES)]
    drawn = np.stack([[malformed, scene.image] for scene, malformed in made])
    reconstructed = reconstruct(drawn, pair_generator / "vae")
    right = [scene for scene, _ in made[: 2 * REPAINTED_PAIRS]]
    pairs = [ScenePair((first, second), ()) for first, second in zip(right[::2], right[1::2], strict=True)]
    repainted = reconstructed[: len(right)].copy()
    repainted[:, 1] = repaint(pairs, pair_generator).reshape(repainted[:, 1].shape)
    return {"drawn": drawn, "reconstructed": reconstructed, "repainted": repainted}


def _batch(
    rng: random.Random, views: Sequence[View], pictures: Mapping[View, Pixels]
) -> tuple[Tensor, Tensor, Tensor]:
    """Scenes malformed, then the same scenes right, as wide a part of each as of the other.

    Returns the pixels (N, 3, SIDE, SIDE), the labels (N,), and where the malformed ones are (N / 2, 1, SIDE, SIDE).
    """
    shown: list[tuple[Pixels, ...]] = []
    for _ in range(SCENES_PER_BATCH):
        view = pictures[rng.choice(views)]
        row = rng.randrange(len(view))
        height, width = view.shape[2:4]
        left, top, right, bottom = (rng.randint(0, 4) for _ in range(4))
        part = slice(top, height - bottom), slice(left, width - right)
        shown.append(tuple(picture[part] for picture in (*view[row], *pictures["drawn"][row])))
    pixels = squash([picture for column in zip(*shown, strict=True) for picture in column], (SIDE, SIDE), MEAN, STD)
    malformed, right_ones = pixels[2 * SCENES_PER_BATCH :].chunk(2)
    differs = ((malformed - right_ones).abs().amax(1, keepdim=True) > 0.5).float()
    return pixels[: 2 * SCENES_PER_BATCH], torch.arange(2).repeat_interleave(SCENES_PER_BATCH), differs


def _loss(trained: nn.ModuleDict, pixels: Tensor, labels: Tensor, differs: Tensor) -> Tensor:
    """Cross-entropy of the label, and of where the picture is malformed, which says what to look at."""
    seen = trained["model"](pixel_values=pixels, output_hidden_states=True)
    told = trained["places"](seen.hidden_states[-2])[:, 0]
    wrong = functional.adaptive_max_pool2d(differs, list(told.shape[-2:]))[:, 0]
    return functional.cross_entropy(seen.logits, labels) + functional.binary_cross_entropy_with_logits(
        told, torch.cat([wrong, torch.zeros_like(wrong)])
    )


def train(output: Path, first_phase: int = 0) -> None:
    """Train in phases and save model and processor to `output`; any phase can go on from the saved weights.

    Within a phase, from the checkpoint that is left there. Every step draws from its own seed, so a training that was
    interrupted ends as one that was not.
    """
    output.mkdir(parents=True, exist_ok=True)
    size = {"height": SIDE, "width": SIDE}
    ViTImageProcessor(size=size, image_mean=MEAN, image_std=STD).save_pretrained(output)
    pictures = training_pictures(output.parent / "pair_generator")
    for phase, (views, steps) in list(enumerate(PHASES))[first_phase:]:
        prepare(SEED + phase)
        model = build_model()
        if phase:
            model = ResNetForImageClassification.from_pretrained(output, dtype=torch.float32)
        trained = nn.ModuleDict({"model": model.train(), "places": nn.Conv2d(WIDTHS[-2], 1, 1)})
        optimisers, first = Optimisers(trained, 2e-3, lambda name: False), 0
        checkpoint = output / f".checkpoint-{phase}"
        if checkpoint.exists():
            saved = torch.load(checkpoint, weights_only=True)
            trained.load_state_dict(saved["trained"])
            optimisers.load_state_dict(saved["optimisers"])
            first = saved["step"]
        progress = Progress(f"verifier, phase {phase}", steps, first)
        for step in progress:
            loss = _loss(trained, *_batch(random.Random(SEED + step), views, pictures))
            optimisers.step(loss, constant_then_linear(step, steps))
            progress.report(loss.item())
            if (step + 1) % CHECKPOINT_EVERY == 0:
                state = {"trained": trained.state_dict(), "optimisers": optimisers.state_dict(), "step": step + 1}
                torch.save(state, checkpoint.with_suffix(".partial"))
                checkpoint.with_suffix(".partial").replace(checkpoint)
        model.eval().half().save_pretrained(output)
        checkpoint.unlink(missing_ok=True)
