"""Boxes of whatever stands out in an image, by Segment Anything (Kirillov et al., 2023, arXiv 2304.02643).

These are the paper's automatic masks: a grid of point prompts, three masks per point, filtered by the quality the
model predicts and by how stable the mask is, duplicates removed. Only boxes are asked for, so everything stays on the
device, no mask is encoded, and only masks of good predicted quality are enlarged to the image's size.
"""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from resources import devices, weights
from resources.settings import ModelSettings

if TYPE_CHECKING:
    import torch
    from segment_anything.modeling import Sam

# How far the mask threshold (in logits) is moved down and up to see whether the mask stays the same.
STABILITY_OFFSET = 1.0

Proposals = tuple[NDArray[np.float32], NDArray[np.float32]]


class SegmenterSettings(ModelSettings):
    """Settings of the segmenter.

    `model` is a folder with `config.json` and `model.safetensors` (see `build_sam`), or an official checkpoint file
    whose name says its size: `vit_b`, `vit_l` or `vit_h`. `batch_size` counts images in the image encoder.
    """

    points_per_side: int = Field(default=32, ge=1, description="Side of the square grid of point prompts.")
    points_per_batch: int = Field(
        default=128, ge=1, description="Point prompts decoded at once; the results do not depend on it."
    )
    pred_iou_threshold: float = Field(
        default=0.88, ge=0, le=1, description="Masks whose predicted quality (IoU) is not above this are dropped."
    )
    stability_threshold: float = Field(
        default=0.95, ge=0, le=1, description="Masks that keep less of themselves under a moved threshold are dropped."
    )
    box_nms_threshold: float = Field(
        default=0.7, ge=0, le=1, description="Of two boxes with a higher IoU, the one of lower quality is dropped."
    )
    min_area_fraction: float = Field(
        default=0.0025, ge=0, le=1, description="Boxes that cover less of the image than this are dropped."
    )
    max_area_fraction: float = Field(
        default=0.9, ge=0, le=1, description="Boxes that cover more of the image than this are dropped."
    )

    def identity(self) -> dict[str, Any]:
        """Everything the boxes depend on."""
        return {name: value for name, value in super().identity().items() if name != "points_per_batch"}


class Segmenter:
    """Proposes boxes in images. Slow to make (it loads the weights), so get it from `devices.load`."""

    def __init__(self, settings: SegmenterSettings) -> None:
        import torch

        self.settings = settings
        self._device = devices.resolve(settings.device)
        self._dtype = getattr(torch, settings.dtype)
        self._sam = load_sam(weights.locate(settings.model, settings.revision)).eval().to(self._device)
        # Prompts stay in float32, for half precision blurs where they are; the decoder is cast where it is called.
        self._sam.image_encoder.to(self._dtype)
        side = settings.points_per_side
        centres = (torch.arange(side, device=self._device) + 0.5) / side
        self._grid = torch.cartesian_prod(centres, centres).flip(1)  # (P, 2): x, y as fractions of the image
        with torch.inference_mode():
            self._positions = self._sam.prompt_encoder.get_dense_pe()

    def propose(self, images: Sequence[NDArray[np.uint8]]) -> list[Proposals]:
        """Return for each image (H, W, 3), whatever its shape, its boxes and their scores, best first.

        Boxes are float32 (K, 4), xyxy in pixels of the image with exclusive ends; scores are float32 (K,), the mask
        quality (IoU) that the model predicts.
        """
        size = self.settings.batch_size
        batches = [images[start : start + size] for start in range(0, len(images), size)]
        return [proposals for batch in batches for proposals in self._propose_batch(batch)]

    def _propose_batch(self, images: Sequence[NDArray[np.uint8]]) -> list[Proposals]:
        import torch
        from torchvision.ops import batched_nms

        with torch.inference_mode():
            resized = [self._resize(image) for image in images]
            pixels = torch.stack([self._sam.preprocess(image) for image in resized])
            embeddings = self._sam.image_encoder(pixels.to(self._dtype)).float()
            # The decoder takes one image and many prompts, so images are decoded one by one.
            found = [
                self._candidates(embedding, (small.shape[1], small.shape[2]), (image.shape[0], image.shape[1]))
                for embedding, small, image in zip(embeddings, resized, images, strict=True)
            ]
            boxes, scores = (torch.cat(parts) for parts in zip(*found, strict=True))
            counts = torch.tensor([len(scores) for _, scores in found], device=self._device)
            rows = torch.arange(len(images), device=self._device).repeat_interleave(counts)
            kept = batched_nms(boxes, scores, rows, self.settings.box_nms_threshold)
            best, quality, owner = (values[kept].cpu().numpy() for values in (boxes, scores, rows))
        return [(best[owner == row], quality[owner == row]) for row in range(len(images))]

    def _resize(self, image: NDArray[np.uint8]) -> "torch.Tensor":
        """Return the image as float32 (3, H, W), its longer side as long as the model's input, values 0–255."""
        import torch
        from torch.nn import functional

        pixels = torch.tensor(image).to(self._device).permute(2, 0, 1).float()
        scale = self._sam.image_encoder.img_size / max(image.shape[:2])
        size = [int(length * scale + 0.5) for length in image.shape[:2]]
        if size == list(image.shape[:2]):
            return pixels
        return functional.interpolate(pixels[None], size, mode="bilinear", antialias=True)[0]

    def _candidates(
        self, embedding: "torch.Tensor", input_size: tuple[int, int], image_size: tuple[int, int]
    ) -> tuple["torch.Tensor", "torch.Tensor"]:
        """Return boxes (K, 4) and predicted IoUs (K,) of the masks that pass the filters, duplicates included."""
        import torch

        points = self._grid * torch.tensor(input_size[::-1], device=self._device)
        found = [
            self._decode(embedding, chunk, input_size, image_size)
            for chunk in torch.split(points, self.settings.points_per_batch)
        ]
        boxes, scores = (torch.cat(parts) for parts in zip(*found, strict=True))
        area_fractions = (boxes[:, 2:] - boxes[:, :2]).prod(1) / (image_size[0] * image_size[1])
        settings = self.settings
        sized = (area_fractions >= settings.min_area_fraction) & (area_fractions <= settings.max_area_fraction)
        return boxes[sized], scores[sized]

    def _decode(
        self,
        embedding: "torch.Tensor",
        points: "torch.Tensor",
        input_size: tuple[int, int],
        image_size: tuple[int, int],
    ) -> tuple["torch.Tensor", "torch.Tensor"]:
        """Return the boxes and predicted IoUs of the good and stable masks of some `points` (P, 2) of one image."""
        import torch

        labels = torch.ones(len(points), 1, dtype=torch.int, device=self._device)
        sparse, dense = self._sam.prompt_encoder(points=(points[:, None], labels), boxes=None, masks=None)
        with torch.autocast(torch.device(self._device).type, self._dtype, enabled=self._dtype != torch.float32):
            logits, quality = self._sam.mask_decoder(
                image_embeddings=embedding[None],
                image_pe=self._positions,
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
                multimask_output=True,
            )
        quality = quality.flatten().float()
        good = quality > self.settings.pred_iou_threshold
        small = logits.flatten(0, 1)[good].float()
        masks = self._sam.postprocess_masks(small[:, None], input_size, image_size)[:, 0]
        stable = _stability(masks, self._sam.mask_threshold) >= self.settings.stability_threshold
        return _boxes_around(masks[stable] > self._sam.mask_threshold), quality[good][stable]


def _stability(logits: "torch.Tensor", threshold: float) -> "torch.Tensor":
    """Return the IoU of each mask (N, H, W) under a lowered and a raised threshold; not a number for an empty one."""
    raised, lowered = ((logits > threshold + offset).sum((1, 2)) for offset in (STABILITY_OFFSET, -STABILITY_OFFSET))
    return raised / lowered


def _boxes_around(masks: "torch.Tensor") -> "torch.Tensor":
    """Return float32 boxes (N, 4), xyxy with exclusive ends, around bool masks (N, H, W); zeros around nothing."""
    import torch

    edges = []
    for occupied in (masks.any(1), masks.any(2)):  # columns, then rows
        line = occupied.to(torch.uint8)
        start, end = line.argmax(1), line.shape[1] - line.flip(1).argmax(1)
        edges.append((start, torch.where(occupied.any(1), end, start)))
    (left, right), (top, bottom) = edges
    return torch.stack([left, top, right, bottom], 1).float()


def build_sam(config: dict[str, Any]) -> "Sam":
    """Return an untrained `Sam` from the keyword arguments of its parts.

    `config` has the keys `image_encoder`, `prompt_encoder`, `mask_decoder` and `transformer` (the decoder's), each
    holding what the class of that part in segment_anything takes, and `pixel_mean` and `pixel_std` (0–255).
    """
    import torch
    from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

    return Sam(
        image_encoder=ImageEncoderViT(norm_layer=partial(torch.nn.LayerNorm, eps=1e-6), **config["image_encoder"]),
        prompt_encoder=PromptEncoder(**config["prompt_encoder"]),
        mask_decoder=MaskDecoder(transformer=TwoWayTransformer(**config["transformer"]), **config["mask_decoder"]),
        pixel_mean=config["pixel_mean"],
        pixel_std=config["pixel_std"],
    )


def load_sam(path: Path) -> "Sam":
    """Load a `Sam` from a folder with `config.json` and `model.safetensors`, or from an official checkpoint file.

    Raises:
        FileNotFoundError: the folder lacks one of the two files.
        ValueError: the checkpoint's name does not say which of the official sizes it is.
    """
    import torch
    from safetensors.torch import load_file
    from segment_anything import sam_model_registry

    if path.is_dir():
        for name in ("config.json", "model.safetensors"):
            if not (path / name).is_file():
                raise FileNotFoundError(
                    f"The segmenter's folder {path} has no {name}: set `model` to a folder that has it, "
                    "or to an official checkpoint file (sam_vit_b, sam_vit_l, sam_vit_h)."
                )
        sam = build_sam(json.loads((path / "config.json").read_text(encoding="utf-8")))
        sam.load_state_dict(load_file(path / "model.safetensors"))
        return sam
    kinds = [kind for kind in ("vit_b", "vit_l", "vit_h") if kind in path.name]
    if len(kinds) != 1:
        raise ValueError(f"The segmenter's checkpoint {path.name} must have vit_b, vit_l or vit_h in its name.")
    sam = sam_model_registry[kinds[0]]()
    sam.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return sam
