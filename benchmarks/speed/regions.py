"""Region scoring: in batches from image tensors, against one crop at a time through JPEG files.

The other way is that of the published operators: every crop is written as a JPEG file, read back and matched alone
with its object; then the two crops of each region that matched on both sides are compared. Here the crops are compared
first, and only those that differ are matched. Either way the first test leaves the same share of the regions.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.quality import DrawnPair
from benchmarks.speed.timing import Figure, ratio, seconds, take_turns
from resources.image_text_encoder import ImageTextEncoder, ImageTextEncoderSettings
from resources.image_text_matcher import ImageTextMatcher, ImageTextMatcherSettings
from resources.images.crops import cut

GOAL = "≥ 2; ≥ 10 on a GPU"
Region = tuple[np.ndarray, np.ndarray, Sequence[float], tuple[str, str]]  # two images, a box, a text for each


def resized(image: np.ndarray, side: int) -> np.ndarray:
    """The image as a square of another size."""
    return np.array(Image.fromarray(image).resize((side, side)))


def of_drawn(drawn: Sequence[DrawnPair], side: int) -> list[Region]:
    """The regions of drawn pairs enlarged to `side`: where an object changed, or should have."""
    found: list[Region] = []
    for pair in drawn:
        source, target = (resized(scene.image, side) for scene in pair.scenes)
        found += [(source, target, box * side / 64, pair.claim) for box in pair.boxes]
    return found


class Scoring:
    """The two models of a region's scores, and the share of regions that the first of them leaves to the second."""

    def __init__(self, encoder: Path | str, matcher: Path | str, dtype: str, left_share: float) -> None:
        place: dict[str, Any] = {"dtype": dtype, "batch_size": 64}
        self.encoder = ImageTextEncoder(ImageTextEncoderSettings(model=str(encoder), **place))
        self.matcher = ImageTextMatcher(ImageTextMatcherSettings(model=str(matcher), **place))
        self.left_share = left_share

    def in_batches(self, regions: Sequence[Region]) -> int:
        """The number of regions that were matched."""
        crops = [cut(image, box) for source, target, box, _ in regions for image in (source, target)]
        vectors = self.encoder.encode_images(crops)
        similarities = np.sum(vectors[0::2] * vectors[1::2], axis=1)
        left = np.flatnonzero(similarities <= np.quantile(similarities, self.left_share))
        texts = [regions[place][3] for place in left]
        pairs = [crops[2 * place + side] for place in left for side in (0, 1)]
        self.matcher.match(pairs, [text for both in texts for text in both])
        return len(left)

    def one_by_one(self, regions: Sequence[Region], folder: Path) -> int:
        """The number of regions that were compared."""
        matches, files = [], []
        for number, (source, target, box, texts) in enumerate(regions):
            scores = []
            for side, (image, text) in enumerate(zip((source, target), texts, strict=True)):
                file = folder / f"{number}-{side}.jpg"
                Image.fromarray(cut(image, box)).save(file)
                files.append(file)
                scores.append(float(self.matcher.match([_read(file)], [text])[1][0]))
            matches.append(min(scores))
        left = np.flatnonzero(np.array(matches) >= np.quantile(matches, 1 - self.left_share))
        for place in left:
            for file in files[2 * place : 2 * place + 2]:
                self.encoder.encode_images([_read(file)])
        for file in files:
            file.unlink()
        return len(left)


def _read(file: Path) -> np.ndarray:
    with Image.open(file) as image:
        return np.array(image.convert("RGB"))


def measure(what: str, scoring: Scoring, regions: Sequence[Region], folder: Path, rounds: int) -> list[Figure]:
    """The ratio of both ways, and how it comes about."""
    left = scoring.in_batches(regions)
    ways = {"alone": lambda: scoring.one_by_one(regions, folder), "batches": lambda: scoring.in_batches(regions)}
    with torch.inference_mode():
        times = take_turns(ways, rounds)
    note = f"the first test leaves {left} of {len(regions)} regions"
    return [
        ratio(f"one crop at a time / in batches, {what}", times["alone"], times["batches"], GOAL, note),
        seconds(f"scoring a region, {what}", [time / len(regions) for time in times["batches"]]),
    ]
