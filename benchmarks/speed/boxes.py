"""Box proposals: the segmenter against segment_anything's own SamAutomaticMaskGenerator, same weights, same boxes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from segment_anything import SamAutomaticMaskGenerator
from torchvision.ops import box_iou

from benchmarks.speed.timing import Figure, ratio, seconds, take_turns
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from resources.loading import weights
from resources.sam.point_decoder import PointDecoder
from resources.segmenter import Segmenter, SegmenterSettings, load_sam

GOAL = "≥ 5"
SAME_BOX = 0.95


def measure_trained(images: Sequence[np.ndarray], rounds: int) -> list[Figure]:
    """The miniature segmenter under its recipe, which finds the objects of drawn scenes."""
    settings = load_recipe("miniature").models.segmenter
    settings = settings.model_copy(update={"min_area_fraction": 0.0, "max_area_fraction": 1.0})
    return _measure(f"miniature SAM, {len(images)} images, 6² points", settings, images, rounds)


def measure_random(
    model: Path, images: Sequence[np.ndarray], points_per_side: int, good_share: float, dtype: str, rounds: int
) -> list[Figure]:
    """SAM's own mask decoder with random weights, where `good_share` of the masks are taken to be good."""
    settings = SegmenterSettings(
        model=str(model),
        dtype=dtype,
        points_per_side=points_per_side,
        stability_threshold=0.0,
        min_area_fraction=0.0,
        max_area_fraction=1.0,
        batch_size=len(images),
    )
    settings = settings.model_copy(update={"pred_iou_threshold": _least_quality(settings, images, good_share)})
    side = Segmenter(settings)._sam.image_encoder.img_size
    what = f"SAM's decoder at {side} px, {len(images)} images, {points_per_side}² points, {good_share:.0%} good"
    return _measure(what, settings, images, rounds)


def _least_quality(settings: SegmenterSettings, images: Sequence[np.ndarray], good_share: float) -> float:
    """The predicted quality that so many of the masks reach."""
    segmenter = Segmenter(settings)
    sam, side = segmenter._sam, segmenter._sam.image_encoder.img_size
    with torch.inference_mode():
        pixels = torch.stack([sam.preprocess(segmenter._resize(image)) for image in images[:1]])
        embeddings = sam.image_encoder(pixels.to(segmenter._dtype)).float()
        points = (segmenter._grid * side)[None, ::4]
        _, _, quality = PointDecoder(sam, embeddings).decode(torch.tensor([0], device=points.device), points, 0.0)
    return float(quality.quantile(1 - good_share))


def _measure(what: str, settings: SegmenterSettings, images: Sequence[np.ndarray], rounds: int) -> list[Figure]:
    segmenter = Segmenter(settings)
    generator = SamAutomaticMaskGenerator(
        load_sam(weights.locate(settings.model)).eval().to(segmenter._device),
        points_per_side=settings.points_per_side,
        pred_iou_thresh=settings.pred_iou_threshold,
        stability_score_thresh=settings.stability_threshold,
        box_nms_thresh=settings.box_nms_threshold,
    )

    def with_masks() -> list[list[dict[str, Any]]]:
        return [generator.generate(image) for image in images]

    agreement = _agreement(segmenter, with_masks(), images)
    times = take_turns({"boxes": lambda: segmenter.propose(images), "masks": with_masks}, rounds)
    return [
        ratio(f"SamAutomaticMaskGenerator / boxes, {what}", times["masks"], times["boxes"], GOAL, agreement),
        seconds(f"boxes of an image, {what}", [time / len(images) for time in times["boxes"]]),
    ]


def _agreement(segmenter: Segmenter, masks: list[list[dict[str, Any]]], images: Sequence[np.ndarray]) -> str:
    """How many boxes both found, of all that either did."""
    found = same = 0
    for (boxes, _), records in zip(segmenter.propose(images), masks, strict=True):
        # The generator's boxes are xywh, without the last row and column of the mask.
        corners = [[x, y, x + width + 1, y + height + 1] for x, y, width, height in (m["bbox"] for m in records)]
        wanted = torch.tensor(corners, dtype=torch.float32).reshape(-1, 4)
        found += max(len(boxes), len(wanted))
        if len(boxes) and len(wanted):
            overlaps = box_iou(torch.from_numpy(boxes), wanted)
            same += int(min((overlaps.amax(0) >= SAME_BOX).sum(), (overlaps.amax(1) >= SAME_BOX).sum()))
    return f"{same} of {found} boxes the same (IoU ≥ {SAME_BOX})"
