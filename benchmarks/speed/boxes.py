"""Box proposals: the segmenter against segment_anything's own SamAutomaticMaskGenerator, same weights, same boxes.

The library's is run as its users would: as many points at once as it is fastest with (`points_per_batch`, tried before
the clock), masks left as run lengths instead of being decoded again, no gradients.
"""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from segment_anything import SamAutomaticMaskGenerator
from torchvision.ops import box_iou

from benchmarks.speed.timing import Figure, clock, ratio, seconds, take_turns
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from resources.loading import weights
from resources.sam.point_decoder import PointDecoder
from resources.segmenter import Segmenter, SegmenterSettings, load_sam

GOAL = "≥ 5"
SAME_BOX = 0.95
POINTS_AT_ONCE = (1, 4, 8, 16, 64)
"""Of these the library's has what it is fastest with."""

DRAWN_SHARE = 0.1
"""Of an image, what the good ones of random masks cover."""

LEAST_STABILITY = 0.05
"""Both leave out masks that a moved threshold empties."""


def measure_trained(images: Sequence[np.ndarray], rounds: int) -> list[Figure]:
    """The miniature segmenter under its recipe, which finds the objects of drawn scenes."""
    settings = load_recipe("miniature").models.segmenter
    settings = settings.model_copy(update={"min_area_fraction": 0.0, "max_area_fraction": 1.0})
    return _measure(f"miniature SAM, {len(images)} images, 6² points", Segmenter(settings), images, rounds)


def measure_random(
    model: Path,
    images: Sequence[np.ndarray],
    points_per_side: int,
    good_share: float,
    dtype: str,
    rounds: int,
    warm: bool = False,
) -> list[Figure]:
    """SAM's own mask decoder with random weights, where `good_share` of the masks are taken to be good.

    Random masks are much alike whatever the point: duplicates stay, so that there are many boxes to compare.
    """
    settings = SegmenterSettings(
        model=str(model),
        dtype=dtype,
        points_per_side=points_per_side,
        stability_threshold=LEAST_STABILITY,
        box_nms_threshold=1.0,
        min_area_fraction=0.0,
        max_area_fraction=1.0,
        batch_size=len(images),
    )
    segmenter = Segmenter(settings)
    _take_as_good(segmenter, images[0], good_share)
    side = segmenter._sam.image_encoder.img_size
    what = f"SAM's decoder at {side} px, {len(images)} images, {points_per_side}² points, {good_share:.0%} good"
    return _measure(what, segmenter, images, rounds, warm)


def _take_as_good(segmenter: Segmenter, image: np.ndarray, good_share: float) -> None:
    """Let `good_share` of the masks have the predicted quality, and `DRAWN_SHARE` of the pixels be in a mask."""
    sam, side = segmenter._sam, segmenter._sam.image_encoder.img_size
    with torch.inference_mode():
        pixels = sam.preprocess(segmenter._resize(image))[None]
        embeddings = sam.image_encoder(pixels.to(segmenter._dtype)).float()
        points = (segmenter._grid * side)[None, :: max(1, len(segmenter._grid) // 16)]
        _, logits, quality = PointDecoder(sam, embeddings).decode(
            torch.tensor([0], device=points.device), points, -9.0
        )
    least = _upper(quality, good_share)
    sam.mask_threshold = _upper(logits[quality > least], DRAWN_SHARE)
    segmenter.settings = segmenter.settings.model_copy(update={"pred_iou_threshold": least})


def _upper(values: torch.Tensor, share: float) -> float:
    """What so large a share of the values exceeds."""
    return float(np.quantile(values.cpu().numpy(), 1 - share))


def _measure(
    what: str, segmenter: Segmenter, images: Sequence[np.ndarray], rounds: int, warm: bool = False
) -> list[Figure]:
    sam = load_sam(weights.locate(segmenter.settings.model)).eval().to(segmenter._device)
    sam.mask_threshold = segmenter._sam.mask_threshold
    generator = _tuned(sam, segmenter.settings, images[0])
    ours: list[Any] = []
    theirs: list[Any] = []

    def with_boxes() -> None:
        ours[:] = segmenter.propose(images)

    def with_masks() -> None:
        theirs[:] = [generator.generate(image) for image in images]

    times = take_turns({"boxes": with_boxes, "masks": with_masks}, rounds, warm)
    agreement = f"{_agreement(ours, theirs)}; {generator.points_per_batch} points at once theirs"
    encoding = _encoding(segmenter, sam, images[0], min(rounds, 2))
    alone = {name: statistics.median(spent) * len(images) for name, spent in encoding.items()}
    points = len(images) * len(segmenter._grid)
    a_point = [max(1e-9, time - alone["boxes"]) / points for time in times["boxes"]]
    theirs_a_point = [max(1e-9, time - alone["masks"]) / points for time in times["masks"]]
    return [
        ratio(f"SamAutomaticMaskGenerator / boxes, {what}", times["masks"], times["boxes"], GOAL, agreement),
        seconds(f"boxes of an image, {what}", [time / len(images) for time in times["boxes"]]),
        ratio(f"of which the image encoder alone, theirs / ours, {what}", encoding["masks"], encoding["boxes"]),
        seconds(f"encoding an image, {what}", encoding["boxes"]),
        ratio(f"a point beside the encoder, theirs / ours, {what}", theirs_a_point, a_point),
        seconds(f"a point beside the encoder, {what}", a_point),
    ]


def _tuned(sam: Any, settings: SegmenterSettings, image: np.ndarray) -> SamAutomaticMaskGenerator:
    """The library's generator, with as many points at once as it is fastest with."""
    generator = SamAutomaticMaskGenerator(
        sam,
        points_per_side=settings.points_per_side,
        pred_iou_thresh=settings.pred_iou_threshold,
        stability_score_thresh=settings.stability_threshold,
        box_nms_thresh=settings.box_nms_threshold,
        output_mode="uncompressed_rle",
    )
    grid, tried = generator.point_grids[0], max(POINTS_AT_ONCE) if torch.cuda.is_available() else 16
    points, spent = (grid * np.array(image.shape[1::-1]))[:: max(1, len(grid) // tried)], dict[int, float]()
    whole = (0, 0, *image.shape[1::-1])
    with torch.no_grad():
        generator.predictor.set_image(image)
        for size in [size for size in POINTS_AT_ONCE if size <= len(points)]:
            generator._process_batch(points[:1], image.shape[:2], whole, image.shape[:2])
            began = clock()
            for start in range(0, len(points), size):
                generator._process_batch(points[start : start + size], image.shape[:2], whole, image.shape[:2])
            spent[size] = clock() - began
    generator.predictor.reset_image()
    generator.points_per_batch = min(spent, key=lambda size: spent[size])
    return generator


def _encoding(segmenter: Segmenter, sam: Any, image: np.ndarray, rounds: int) -> dict[str, list[float]]:
    """Seconds of the part that both have to run whatever the points: the image encoder, of one image."""
    pixels = sam.preprocess(segmenter._resize(image))[None]
    ways = {
        "boxes": lambda: segmenter._sam.image_encoder(pixels.to(segmenter._dtype)),
        "masks": lambda: sam.image_encoder(pixels),
    }
    with torch.inference_mode():
        return take_turns(ways, rounds, warm=True)


def _agreement(proposals: Sequence[Any], masks: list[list[dict[str, Any]]]) -> str:
    """How many boxes both found, of all that either did."""
    found = same = 0
    for (boxes, _), records in zip(proposals, masks, strict=True):
        # The generator's boxes are xywh, without the last row and column of the mask.
        corners = [[x, y, x + width + 1, y + height + 1] for x, y, width, height in (m["bbox"] for m in records)]
        wanted = torch.tensor(corners, dtype=torch.float32).reshape(-1, 4)
        found += max(len(boxes), len(wanted))
        if len(boxes) and len(wanted):
            overlaps = box_iou(torch.from_numpy(boxes), wanted)
            same += int(min((overlaps.amax(0) >= SAME_BOX).sum(), (overlaps.amax(1) >= SAME_BOX).sum()))
    return f"{same} of {found} boxes the same (IoU ≥ {SAME_BOX})"
