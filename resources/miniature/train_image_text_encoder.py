"""Train the miniature image-text encoder: an open_clip CLIP for whole scenes and for the regions of scenes.

Everything in a batch is a negative of everything else: scenes against captions, crops against phrases. What separates
near-misses is that both images of a pair are in the batch, and that each text brings one along that differs from it
in one word. Crops of the same object meet at its phrase, whatever surrounds it, so that crops can be compared.
"""

import json
import math
import random
from pathlib import Path
from typing import Any

import torch
from open_clip.model import CLIP
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional

from resources.images.crops import squash
from resources.miniature.pictures import Phases, Pictures, Pixels, training_pictures
from resources.miniature.scene_pairs import phrase
from resources.miniature.scenes import BACKGROUNDS, COLOURS, IMAGE_SIZE, OBJECTS, SceneObject, caption
from resources.miniature.training import Optimisers, Progress, constant_then_linear, prepare
from resources.miniature.vocabulary import build_tokenizer, build_vocabulary

SEED = 33
PHASES: Phases = (
    (("drawn", "reconstructed"), 2_500),
    (("drawn", "reconstructed", "repainted"), 800),
    (("drawn", "reconstructed", "repainted"), 800),
    (("drawn", "reconstructed", "repainted"), 1_000),
)
PAIRS_PER_BATCH, REGIONS_PER_BATCH = 16, 12
LARGEST_SCALE = 50.0
CONTEXT = 16
CONFIG: dict[str, Any] = {
    "model_cfg": {
        "embed_dim": 64,
        "vision_cfg": {
            "image_size": IMAGE_SIZE, "patch_size": 8, "width": 96, "layers": 4, "head_width": 32, "mlp_ratio": 3.0,
        },
        "text_cfg": {
            "context_length": CONTEXT, "vocab_size": len(build_vocabulary()[0]), "width": 96, "heads": 3, "layers": 2,
            # Any name will do: from a local folder, the tokenizer is the one in it.
            "hf_tokenizer_name": "miniature",
        },
    },
    "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"},
}  # fmt: skip


def near_miss(rng: random.Random, objects: tuple[SceneObject, ...], background: str | None) -> str:
    """A text that differs from the caption (or the phrase, without a background) in one word or in their order."""

    def other(value: str, values: tuple[str, ...]) -> str:
        return rng.choice([each for each in values if each != value])

    index = rng.randrange(len(objects))
    old = objects[index]
    edits = [
        SceneObject(other(old.name, OBJECTS), old.colour),
        SceneObject(old.name, other(old.colour, tuple(COLOURS))),
    ]
    changed = [(*objects[:index], new, *objects[index + 1 :]) for new in edits]
    if background is None:
        return rng.choice(changed)[0].phrase
    texts = [caption(things, background) for things in changed] + [caption(objects, other(background, BACKGROUNDS))]
    if len(objects) == 2 and objects[0].colour != objects[1].colour:
        (first, second) = objects
        texts.append(caption((second, first), background))
        swapped = SceneObject(first.name, second.colour), SceneObject(second.name, first.colour)
        texts.append(caption(swapped, background))
    return rng.choice(texts)


def _batch(rng: random.Random, pictures: Pictures) -> tuple[list[Pixels], list[str], list[str]]:
    """Images, their texts, and more texts that fit none of the images by design (though some may by chance)."""
    images, texts, misses = [], [], []
    for _ in range(PAIRS_PER_BATCH):
        for scene, image in pictures.pair(rng):
            if scene.objects:
                images.append(image)
                texts.append(scene.caption)
                misses.append(near_miss(rng, scene.objects, scene.background))
    for _ in range(REGIONS_PER_BATCH):
        crops, contents = pictures.crops(rng)
        for crop, thing in zip(crops, contents, strict=True):
            images.append(crop)
            texts.append(phrase(thing))
            if thing is not None:
                misses.append(near_miss(rng, (thing,), None))
    return images, texts, misses


def contrastive_loss(logits: Tensor, own: Tensor) -> Tensor:
    """Cross-entropy of images among texts and of texts among images.

    `logits` (images, texts) are of distinct texts, `own` (images,) says which is each image's; images of the same text
    are no negatives of each other.
    """
    rows = torch.arange(len(own))
    same = own[:, None] == own
    same[rows, rows] = False
    to_images = logits[:, own].T.masked_fill(same, -torch.inf)
    return (functional.cross_entropy(logits, own) + functional.cross_entropy(to_images, rows)) / 2


def train(output: Path, first_phase: int = 0) -> None:
    """Train in phases and save an open_clip folder to `output`; any phase can go on from the saved weights."""
    tokenizer = build_tokenizer(CONTEXT)
    preprocess = CONFIG["preprocess_cfg"]
    file = output / "open_clip_model.safetensors"
    tokenizer.save_pretrained(output)
    (output / "open_clip_config.json").write_text(json.dumps(CONFIG, indent=2) + "\n", encoding="utf-8")
    for phase, (views, steps) in list(enumerate(PHASES))[first_phase:]:
        prepare(SEED + phase)
        rng = random.Random(SEED + phase)
        pictures = training_pictures(views, output.parent / "pair_generator")
        model = CLIP(**CONFIG["model_cfg"])
        if phase:
            model.load_state_dict(load_file(file))
        optimisers = Optimisers(model, 1e-3, lambda name: False)
        progress = Progress(f"image_text_encoder, phase {phase}", steps)
        for step in progress:
            images, texts, misses = _batch(rng, pictures)
            pixels = squash(images, (IMAGE_SIZE, IMAGE_SIZE), preprocess["mean"], preprocess["std"])
            numbers = {text: number for number, text in enumerate(dict.fromkeys(texts + misses))}
            ids = tokenizer(list(numbers), padding="max_length", return_tensors="pt").input_ids
            image_vectors = model.encode_image(pixels, normalize=True)
            text_vectors = model.encode_text(ids, normalize=True)
            logits = model.logit_scale.exp() * image_vectors @ text_vectors.T
            loss = contrastive_loss(logits, torch.tensor([numbers[text] for text in texts]))
            optimisers.step(loss, constant_then_linear(step, steps, constant=0.3))
            with torch.no_grad():
                model.logit_scale.clamp_(max=math.log(LARGEST_SCALE))
            progress.report(loss.item())
        save_file({name: tensor.half() for name, tensor in model.state_dict().items()}, file)
