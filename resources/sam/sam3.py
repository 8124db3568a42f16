"""Boxes of things that are named, by SAM 3 of transformers (Carion et al., 2025, arXiv 2511.16719)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from resources.images.crops import squash
from resources.loading import devices, weights
from resources.loading.failures import ModelUnavailable, not_numbers
from resources.loading.transformers_models import load_model
from resources.segmenter import Proposals, SegmenterSettings


class Sam3Segmenter:
    """Finds what is named in images. Slow to make (it loads the weights): get it from `resources.sam.opening`."""

    def __init__(self, settings: SegmenterSettings) -> None:
        import torch
        from transformers import AutoImageProcessor, AutoTokenizer, Sam3Model

        self.settings = settings
        self._device, self._dtype = devices.resolve(settings.device), getattr(torch, settings.dtype)
        folder = weights.locate(settings.model, settings.revision)
        self._model = load_model(Sam3Model, folder, settings.dtype, self._device)
        self._tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        processor = AutoImageProcessor.from_pretrained(folder, trust_remote_code=False)
        self._mean, self._std = processor.image_mean, processor.image_std
        self._sides = (processor.size["height"], processor.size["width"])
        self._longest = self._model.config.text_config.max_position_embeddings

    def propose(self, images: Sequence[NDArray[np.uint8]]) -> list[Proposals]:
        """It finds nothing that is not named. Raises ModelUnavailable."""
        raise ModelUnavailable(
            f"The segmenter {self.settings.model} finds what is named: set bounding_boxes.propose to text."
        )

    def propose_named(self, images: Sequence[NDArray[np.uint8]], names: Sequence[str]) -> list[Proposals]:
        """Return for each image (H, W, 3) the boxes of what its name says, and how sure the model is, surest first.

        Boxes are float32 (K, 4), xyxy in pixels of the image with exclusive ends; scores are float32 (K,).

        Raises:
            FloatingPointError: the model overflowed.
        """
        import torch

        found, size = list[Proposals](), self.settings.batch_size
        with torch.inference_mode():
            for start in range(0, len(images), size):
                found += self._batch(images[start : start + size], names[start : start + size])
        return found

    def _batch(self, images: Sequence[NDArray[np.uint8]], names: Sequence[str]) -> list[Proposals]:
        import torch
        from torchvision.ops import nms

        settings = self.settings
        pixels = squash(images, self._sides, self._mean, self._std, self._device, "bilinear").to(self._dtype)
        # Always as long, for an answer must not depend on how long the names beside it are.
        texts = self._tokenizer(
            list(names), padding="max_length", max_length=self._longest, truncation=True, return_tensors="pt"
        ).to(self._device)
        told = self._model(pixel_values=pixels, input_ids=texts["input_ids"], attention_mask=texts["attention_mask"])
        sureness = told.pred_logits.float().sigmoid()
        if told.presence_logits is not None:
            sureness = sureness * told.presence_logits.float().sigmoid()
        corners = told.pred_boxes.float().clamp(0, 1)
        if not (sureness.sum() + corners.sum()).isfinite():
            raise not_numbers("boxes", settings.model, settings.dtype)
        found = list[Proposals]()
        for image, boxes, scores in zip(images, corners, sureness, strict=True):
            height, width = image.shape[:2]
            fractions = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(1)
            kept = (scores >= settings.text_threshold) & (fractions > 0)
            kept &= (fractions >= settings.min_area_fraction) & (fractions <= settings.max_area_fraction)
            boxes = boxes[kept] * torch.tensor([width, height, width, height], device=self._device)
            best = nms(boxes, scores[kept], settings.box_nms_threshold)
            values = (boxes[best], scores[kept][best])
            found.append((values[0].cpu().numpy().astype(np.float32), values[1].cpu().numpy().astype(np.float32)))
        return found
