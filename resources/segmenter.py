"""Boxes of whatever stands out in an image, by Segment Anything (Kirillov et al., 2023, arXiv 2304.02643).

These are the paper's automatic masks: a grid of point prompts, three masks per point, filtered by the quality the
model predicts and by how stable the mask is, duplicates removed. Only boxes are asked for, so everything stays on the
device, no mask is encoded, only masks of good predicted quality are drawn, and only their outlines are enlarged to the
image's size. Points of several images of one shape are decoded together.
"""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from resources.loading import devices, weights
from resources.loading.failures import WeightsMissing, not_numbers
from resources.loading.settings import ModelSettings
from resources.sam.image_attention import fuse_attention
from resources.sam.mask_extents import Axis, EnlargedMasks, enlarging
from resources.sam.point_decoder import PointDecoder

if TYPE_CHECKING:
    import torch
    from segment_anything.modeling import Sam

# How far the mask threshold (in logits) is moved down and up to see whether the mask stays the same.
STABILITY_OFFSET = 1.0
# How much of an image, as all points of a batch see it, a CPU's cache holds beside what is made of it.
CACHED_NUMBERS = 2**20

Proposals = tuple[NDArray[np.float32], NDArray[np.float32]]


class SegmenterSettings(ModelSettings):
    """Settings of the segmenter.

    `model` is a folder with `config.json` and `model.safetensors` (see `build_sam`), an official checkpoint file whose
    name says its size (`vit_b`, `vit_l` or `vit_h`), or a SAM 2.1 or SAM 3 in the format of transformers: see
    `resources.sam.opening`. `batch_size` counts images in the image encoder.
    """

    role: ClassVar[str] = "segmenter"

    points_per_side: int = Field(default=32, ge=1, description="Side of the square grid of point prompts.")
    points_per_batch: int | None = Field(
        default=None,
        ge=1,
        description="Point prompts, of one image or several, decoded at once; the results do not depend on it. None: "
        "64 on a GPU, and on a CPU as many as its cache can hold.",
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
    text_threshold: float = Field(
        default=0.5,
        ge=0,
        le=1,
        exclude_if=lambda value: value == 0.5,
        description="Of a model that finds things by name: boxes that it is less sure of are dropped.",
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
        fuse_attention(self._sam.image_encoder)
        side = settings.points_per_side
        centres = (torch.arange(side, device=self._device) + 0.5) / side
        self._grid = torch.cartesian_prod(centres, centres).flip(1)  # (P, 2): x, y as fractions of the image
        self._points_at_once = settings.points_per_batch or self._suitable_points()

    def propose(self, images: Sequence[NDArray[np.uint8]]) -> list[Proposals]:
        """Return for each image (H, W, 3), whatever its shape, its boxes and their scores, best first.

        Boxes are float32 (K, 4), xyxy in pixels of the image with exclusive ends; scores are float32 (K,), the mask
        quality (IoU) that the model predicts.

        Raises:
            FloatingPointError: the model overflowed.
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
            with self._autocast():
                decoder = PointDecoder(self._sam, embeddings)
            rows_by_shape: dict[tuple[int, ...], list[int]] = {}
            for row, image in enumerate(images):
                rows_by_shape.setdefault(image.shape, []).append(row)
            found = [
                self._candidates(decoder, torch.tensor(rows, device=self._device), resized[rows[0]].shape[1:], shape)
                for shape, rows in rows_by_shape.items()
            ]
            owners, boxes, scores = (torch.cat(parts) for parts in zip(*found, strict=True))
            kept = batched_nms(boxes, scores, owners, self.settings.box_nms_threshold)
            owner, best, quality = (values[kept].cpu().numpy() for values in (owners, boxes, scores))
        return [(best[owner == row], quality[owner == row]) for row in range(len(images))]

    def _suitable_points(self) -> int:
        """How many points to decode at once where no setting says it."""
        if self._device != "cpu":
            return 64
        prompts = self._sam.prompt_encoder
        height, width = prompts.image_embedding_size
        numbers: int = height * width * prompts.embed_dim
        return max(1, CACHED_NUMBERS // numbers)

    def _autocast(self) -> "torch.autocast":
        import torch

        return torch.autocast(torch.device(self._device).type, self._dtype, enabled=self._dtype != torch.float32)

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
        self, decoder: PointDecoder, rows: "torch.Tensor", input_shape: Sequence[int], shape: Sequence[int]
    ) -> tuple["torch.Tensor", "torch.Tensor", "torch.Tensor"]:
        """Return the rows (K,), boxes (K, 4) and predicted IoUs (K,) of the masks that pass the filters.

        `rows` are the images of one `shape` (H, W, 3), which the model sees as `input_shape` (h, w). Boxes of
        duplicate masks are among them.
        """
        import torch

        height, width = shape[:2]
        points = self._grid * torch.tensor(input_shape[::-1], device=self._device)
        axes = [self._enlarging(*lengths) for lengths in zip((0, 1), input_shape, (height, width), strict=True)]
        found = [
            self._decode(decoder, some_rows, some_points, axes)
            for some_rows in torch.split(rows, max(1, self._points_at_once // len(points)))
            for some_points in torch.split(points, self._points_at_once)
        ]
        owners, boxes, scores = (torch.cat(parts) for parts in zip(*found, strict=True))
        fractions = (boxes[:, 2:] - boxes[:, :2]).prod(1) / (height * width)
        sized = (fractions >= self.settings.min_area_fraction) & (fractions <= self.settings.max_area_fraction)
        return owners[sized], boxes[sized], scores[sized]

    def _enlarging(self, dimension: int, input_length: int, length: int) -> Axis:
        sam = self._sam
        logits = sam.prompt_encoder.mask_input_size[dimension]
        return enlarging(logits, sam.image_encoder.img_size, input_length, length, self._device)

    def _decode(
        self, decoder: PointDecoder, rows: "torch.Tensor", points: "torch.Tensor", axes: Sequence[Axis]
    ) -> tuple["torch.Tensor", "torch.Tensor", "torch.Tensor"]:
        """Return the rows, boxes and predicted IoUs of the good and stable masks of some `points` (P, 2)."""
        with self._autocast():
            owners, logits, quality = decoder.decode(
                rows, points.expand(len(rows), -1, -1), self.settings.pred_iou_threshold
            )
        if not (logits.sum() + quality.sum()).isfinite():
            raise not_numbers("masks", self.settings.model, self.settings.dtype)
        masks, threshold = EnlargedMasks(logits, *axes), self._sam.mask_threshold
        stable = masks.stable(threshold, STABILITY_OFFSET, self.settings.stability_threshold).nonzero()[:, 0]
        return owners[stable], masks.boxes(stable, threshold), quality[stable]


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
        WeightsMissing: the folder lacks one of the two files.
        ValueError: the checkpoint's name does not say which of the official sizes it is.
    """
    import torch
    from safetensors.torch import load_file
    from segment_anything import sam_model_registry

    if path.is_dir():
        for name in ("config.json", "model.safetensors"):
            if not (path / name).is_file():
                raise WeightsMissing(
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
