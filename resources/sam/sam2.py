"""Boxes of whatever stands out in an image, by SAM 2.1 of transformers (Ravi et al., 2024, arXiv 2408.00714).

The automatic masks of `resources.segmenter`: a grid of point prompts, three masks per point, filtered by predicted
quality and stability, duplicates removed. The model sees an image squashed to its size, as its own processor has it.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resources.images.crops import squash
from resources.loading import devices, weights
from resources.loading.failures import not_numbers
from resources.loading.transformers_models import load_model
from resources.segmenter import STABILITY_OFFSET, Proposals, SegmenterSettings

if TYPE_CHECKING:
    import torch

POINTS_AT_ONCE = 64
PIXELS_AT_ONCE = 2**25
"""Of masks of an image's size that are held at once."""


class Sam2Segmenter:
    """Proposes boxes in images. Slow to make (it loads the weights), so get it from `resources.sam.opening`."""

    def __init__(self, settings: SegmenterSettings) -> None:
        import torch
        from transformers import AutoImageProcessor, Sam2Model

        self.settings = settings
        self._device, self._dtype = devices.resolve(settings.device), getattr(torch, settings.dtype)
        folder = weights.locate(settings.model, settings.revision)
        self._model = load_model(Sam2Model, folder, settings.dtype, self._device)
        processor = AutoImageProcessor.from_pretrained(folder, trust_remote_code=False)
        self._mean, self._std = processor.image_mean, processor.image_std
        self._side = self._model.config.prompt_encoder_config.image_size
        centres = (torch.arange(settings.points_per_side, device=self._device) + 0.5) / settings.points_per_side
        self._grid = torch.cartesian_prod(centres, centres).flip(1) * self._side  # (P, 2): x, y

    def propose(self, images: Sequence[NDArray[np.uint8]]) -> list[Proposals]:
        """Return for each image (H, W, 3), whatever its shape, its boxes and their scores, best first.

        As `resources.segmenter.Segmenter.propose`, and raises what that raises.
        """
        import torch

        found, size = list[Proposals](), self.settings.batch_size
        with torch.inference_mode():
            for start in range(0, len(images), size):
                batch = images[start : start + size]
                sides = (self._side, self._side)
                pixels = squash(batch, sides, self._mean, self._std, self._device, "bilinear").to(self._dtype)
                embeddings = self._model.get_image_embeddings(pixels)
                for row, image in enumerate(batch):
                    found.append(self._of_image([part[row : row + 1] for part in embeddings], image.shape))
        return found

    def _of_image(self, embeddings: Sequence[Any], shape: Sequence[int]) -> Proposals:
        import torch
        from torchvision.ops import nms

        settings, parts = self.settings, list[tuple[torch.Tensor, torch.Tensor]]()
        for points in self._grid.split(settings.points_per_batch or POINTS_AT_ONCE):
            # A copy of the list, to which the model itself adds.
            told = self._model(
                image_embeddings=list(embeddings), input_points=points[None, :, None], multimask_output=True
            )
            logits, quality = told.pred_masks[0].flatten(0, 1).float(), told.iou_scores[0].flatten().float()
            if not (logits.sum() + quality.sum()).isfinite():
                raise not_numbers("masks", settings.model, settings.dtype)
            good = quality > settings.pred_iou_threshold
            parts.append(self._stable_boxes(logits[good], quality[good], shape))
        boxes, scores = (torch.cat(values) for values in zip(*parts, strict=True))
        fractions = (boxes[:, 2:] - boxes[:, :2]).prod(1) / (shape[0] * shape[1])
        sized = (fractions >= settings.min_area_fraction) & (fractions <= settings.max_area_fraction)
        boxes, scores = boxes[sized], scores[sized]
        kept = nms(boxes, scores, settings.box_nms_threshold)
        return boxes[kept].cpu().numpy().astype(np.float32), scores[kept].cpu().numpy().astype(np.float32)

    def _stable_boxes(
        self, logits: "torch.Tensor", quality: "torch.Tensor", shape: Sequence[int]
    ) -> tuple["torch.Tensor", "torch.Tensor"]:
        """Boxes (K, 4) and scores (K,) of those masks (N, h, w) that stay the same under a moved threshold."""
        import torch
        from torch.nn import functional
        from torchvision.ops import masks_to_boxes

        height, width = shape[:2]
        boxes, scores = [torch.zeros(0, 4, device=self._device)], [torch.zeros(0, device=self._device)]
        some = max(1, PIXELS_AT_ONCE // (height * width))
        for few, qualities in zip(torch.split(logits, some), torch.split(quality, some), strict=True):
            masks = functional.interpolate(few[:, None], (height, width), mode="bilinear", align_corners=False)[:, 0]
            sure, any_ = ((masks > limit).sum((1, 2)) for limit in (STABILITY_OFFSET, -STABILITY_OFFSET))
            stable = (sure / any_.clamp(min=1) >= self.settings.stability_threshold) & (masks > 0).any(2).any(1)
            if stable.any():
                boxes.append(masks_to_boxes(masks[stable] > 0) + torch.tensor([0, 0, 1, 1], device=self._device))
                scores.append(qualities[stable])
        return torch.cat(boxes), torch.cat(scores)
