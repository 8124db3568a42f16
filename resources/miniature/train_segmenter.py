"""Train the miniature segmenter: Segment Anything for images of 64 pixels, asked by single points.

A point on an object must give that object's mask, a point beside all objects the background's. Three masks per point
compete, as in the paper: only the best one is corrected in full, and each one's quality (IoU) is predicted.
"""

import json
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional

from resources.miniature.pictures import Phases, Pictures, training_pictures
from resources.miniature.scenes import IMAGE_SIZE, Scene
from resources.miniature.training import Optimisers, Progress, constant_then_linear, prepare
from resources.segmenter import build_sam

if TYPE_CHECKING:
    from segment_anything.modeling import Sam

SEED = 31
PHASES: Phases = (
    (("drawn",), 1_200),
    (("drawn", "reconstructed"), 1_500),
    (("drawn", "reconstructed"), 1_500),
    (("drawn", "reconstructed", "repainted"), 800),
)
WIDTH = 64
PATCH = 4
SCENES_PER_BATCH, POINTS_PER_SCENE = 12, 4
BACKGROUND_SHARE = 0.25

_GRID = IMAGE_SIZE // PATCH
CONFIG: dict[str, Any] = {
    "image_encoder": {
        "img_size": IMAGE_SIZE,
        "patch_size": PATCH,
        "embed_dim": WIDTH,
        "depth": 3,
        "num_heads": 2,
        "mlp_ratio": 3.0,
        "out_chans": WIDTH,
        "use_rel_pos": True,
        "window_size": 0,
    },
    "prompt_encoder": {
        "embed_dim": WIDTH,
        "image_embedding_size": [_GRID, _GRID],
        "input_image_size": [IMAGE_SIZE, IMAGE_SIZE],
        "mask_in_chans": 8,
    },
    "transformer": {"depth": 2, "embedding_dim": WIDTH, "mlp_dim": 128, "num_heads": 4},
    "mask_decoder": {
        "transformer_dim": WIDTH,
        "num_multimask_outputs": 3,
        "iou_head_depth": 2,
        "iou_head_hidden_dim": 64,
    },
    "pixel_mean": [127.5] * 3,
    "pixel_std": [127.5] * 3,
}


def masks_and_qualities(sam: "Sam", images: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """All masks of several points on each of several images at once.

    `images` is (N, 3, H, W), 0-255; `points` (N, P, 2), x and y in pixels. Returns logits (N·P, 4, H, W) and predicted
    IoUs (N·P, 4), the single-mask output first. The decoder's own forward takes only one image.
    """
    decoder, count = sam.mask_decoder, points.shape[1]
    embeddings = sam.image_encoder((images - sam.pixel_mean) / sam.pixel_std)
    labels = torch.ones(points.shape[0] * count, 1, dtype=torch.int)
    sparse, dense = sam.prompt_encoder((points.flatten(0, 1)[:, None], labels), None, None)
    tokens = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    tokens = torch.cat([tokens.expand(len(sparse), -1, -1), sparse], 1)
    pixels = embeddings.repeat_interleave(count, 0) + dense
    positions = sam.prompt_encoder.get_dense_pe().expand(len(sparse), -1, -1, -1)
    answers, attended = decoder.transformer(pixels, positions, tokens)
    upscaled = decoder.output_upscaling(attended.transpose(1, 2).reshape(pixels.shape))
    kernels = torch.stack(
        [mlp(answers[:, 1 + index]) for index, mlp in enumerate(decoder.output_hypernetworks_mlps)], 1
    )
    return torch.einsum("nmc,nchw->nmhw", kernels, upscaled), decoder.iou_prediction_head(answers[:, 0])


def _ask(rng: random.Random, scene: Scene) -> tuple[tuple[float, float], Tensor]:
    """A random point and the mask it should give."""
    masks = torch.from_numpy(scene.masks)
    on_background = not len(masks) or rng.random() < BACKGROUND_SHARE
    mask = ~masks.any(0) if on_background else masks[rng.randrange(len(masks))]
    row, column = rng.choice(mask.nonzero()).tolist()
    return (column + rng.random(), row + rng.random()), mask


def _batch(rng: random.Random, pictures: Pictures) -> tuple[Tensor, Tensor, Tensor]:
    images, points, masks = [], [], []
    for _ in range(SCENES_PER_BATCH):
        scene, image = pictures.scene(rng)
        asked = [_ask(rng, scene) for _ in range(POINTS_PER_SCENE)]
        images.append(torch.from_numpy(image).permute(2, 0, 1).float())
        points.append([point for point, _ in asked])
        masks += [mask for _, mask in asked]
    return torch.stack(images), torch.tensor(points), torch.stack(masks)


def segmentation_loss(logits: Tensor, qualities: Tensor, masks: Tensor) -> Tensor:
    """Cross-entropy and Dice of the single mask and of the best of three; squared error of the predicted IoUs."""
    wanted = masks[:, None].float()
    soft = logits.sigmoid()
    entropy = functional.binary_cross_entropy_with_logits(logits, wanted.expand_as(logits), reduction="none").mean(
        (2, 3)
    )
    dice = 1 - (2 * (soft * wanted).sum((2, 3)) + 1) / (soft.sum((2, 3)) + wanted.sum((2, 3)) + 1)
    error = 4 * entropy + dice
    with torch.no_grad():
        found, asked = logits > 0, masks[:, None]
        true_iou = (found & asked).sum((2, 3)) / (found | asked).sum((2, 3)).clamp(min=1)
    # A little of the losers' error keeps them from dying.
    mask_error = error[:, 0].mean() + error[:, 1:].min(1).values.mean() + 0.1 * error[:, 1:].mean()
    return mask_error + (qualities - true_iou).square().mean()


def train(output: Path, first_phase: int = 0) -> None:
    """Train in phases and save Sam's arguments and weights to `output`; any phase can go on from the saved ones."""
    output.mkdir(parents=True, exist_ok=True)
    (output / "config.json").write_text(json.dumps(CONFIG, indent=2) + "\n", encoding="utf-8")
    file = output / "model.safetensors"
    for phase, (views, steps) in list(enumerate(PHASES))[first_phase:]:
        prepare(SEED + phase)
        rng = random.Random(SEED + phase)
        pictures = training_pictures(views, output.parent / "pair_generator")
        sam = build_sam(CONFIG)
        if phase:
            sam.load_state_dict(load_file(file))
        optimisers = Optimisers(sam, 1e-3, lambda name: False)
        progress = Progress(f"segmenter, phase {phase}", steps)
        for step in progress:
            images, points, masks = _batch(rng, pictures)
            loss = segmentation_loss(*masks_and_qualities(sam, images, points), masks)
            optimisers.step(loss, constant_then_linear(step, steps, constant=0.3))
            progress.report(loss.item())
        save_file({name: tensor.half() for name, tensor in sam.state_dict().items()}, file)
