"""Regions of images erased: each image with an object, and the same image with background in the object's place.

The candidates are all boxes that `bounding_boxes` was proposed, kept there or not, each in the image it was found in.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from imgdiff_assets.common.aliases import Booleans, Columns, Pixels, Row
from imgdiff_assets.common.hashing import seed_of
from imgdiff_assets.ledger.cells import IMAGE
from imgdiff_assets.ledger.images import encode_png, pixel_hash
from imgdiff_assets.method.regions import BOX_COLUMNS, numbered, ranks, suppress
from imgdiff_assets.stages.derived_items import TABLE as DERIVED
from imgdiff_assets.stages.settings import StageSettings, in_order
from imgdiff_assets.stages.stage import UPSTREAM, Above, Stage
from imgdiff_assets.stages.steps import (
    Canaries,
    Derivation,
    Filter,
    Measurement,
    Work,
    at_least,
    below,
    cosine,
    quality,
    share,
)
from resources.images.crops import cut, padded

SIDES = ("source", "target")
REGION_COLUMNS = ("region_id", "pair_id", "source_hash", "target_hash", "found_in")
REGION_INPUTS = (*REGION_COLUMNS, *BOX_COLUMNS)
PROPOSED, ERASED = "proposal_score", "erased_similarity"
PLACE = ("pair_id", "found_in", *BOX_COLUMNS)


class RemovedPairsSettings(StageSettings):
    """Regions of images erased: each image with an object, and without it."""

    enabled: bool = Field(False, description="Whether regions are erased, and asked about in `which_image` samples.")
    min_area_fraction: float = Field(
        0.01, ge=0, le=1, description="Smaller boxes are not erased (share of the image)."
    )
    max_area_fraction: float = Field(0.5, gt=0, le=1, description="Larger boxes are not erased (share of the image).")
    max_overlap: float = Field(0.5, ge=0, le=1, description="Of boxes with a larger IoU the best proposal is erased.")
    max_candidates: int = Field(8, ge=1, description="Regions erased per image, best proposals first.")
    mask_padding: int = Field(5, ge=0, description="Pixels around a box that are painted over with it.")
    crop_padding: int = Field(0, ge=0, description="Pixels added around a box before its crops are compared.")
    max_erased_similarity: float = Field(
        0.90,
        ge=-1,
        le=1,
        description="Erasures whose crop is more like the original (cosine) are rejected: `not_erased`.",
    )
    max_regions: int = Field(3, ge=1, description="Erasures kept per image, most changed first.")

    @model_validator(mode="after")
    def _some_box_can_pass(self) -> "RemovedPairsSettings":
        return in_order(self, "min_area_fraction", "max_area_fraction")


def items(tables: Mapping[str, pa.Table], settings: Mapping[str, Any]) -> pa.Table:
    """Every box of a pair that is still in the running."""
    names = [*REGION_COLUMNS, *BOX_COLUMNS, "area_fraction", PROPOSED]
    boxes = tables["bounding_boxes"].filter(pc.field("found_in").is_valid())
    running = pc.fill_null(pc.not_equal(boxes["rejected_by"], UPSTREAM), True)
    return boxes.select(names).append_column("kept", running)


def erase(rows: Sequence[Row], work: Work) -> list[Row]:
    """Paint over each region, grown by some padding; the noise is a function of the recipe's seed and the region."""
    images = [shown_in(row, work) for row in rows]
    masks = []
    for row, image in zip(rows, images, strict=True):
        mask = np.zeros(image.shape[:2], dtype=bool)
        x1, y1, x2, y2 = padded(box_of(row), work.settings["mask_padding"], image.shape[1], image.shape[0])
        mask[y1:y2, x1:x2] = True
        masks.append(mask)
    seeds = [seed_of(work.settings["seed"], "erase", row["region_id"]) for row in rows]
    erased = work.model("inpainter").erase(images, masks, seeds)
    compression = work.settings["image_pairs.compression"]
    return [
        {
            "seed": seed,
            "erased_hash": pixel_hash(pixels),
            "erased_image": {"bytes": encode_png(pixels, compression), "path": f"{row['region_id']}_erased.png"},
        }
        for row, seed, pixels in zip(rows, seeds, erased, strict=True)
    ]


def compare(rows: Sequence[Row], work: Work) -> list[Row]:
    """Cosine of the region's crop before and after."""
    crops = []
    for row in rows:
        for image in (shown_in(row, work), work.erased(row["region_id"])):
            crops.append(cut(image, box_of(row), work.settings["crop_padding"]))
    vectors = work.model("image_encoder").encode_images(crops)
    return [{ERASED: float(value)} for value in np.sum(vectors[0::2] * vectors[1::2], axis=1)]


def box_of(row: Row) -> list[float]:
    return [row[name] for name in BOX_COLUMNS]


def shown_in(row: Row, work: Work) -> Pixels:
    """The image that the region was found in."""
    return work.images(row["pair_id"])[SIDES.index(row["found_in"])]


def _best_first(columns: Columns) -> np.ndarray:
    """By the segmenter's score, then by box, so that the order never depends on the proposals' order."""
    return np.lexsort([*(columns[name] for name in reversed(BOX_COLUMNS)), -columns[PROPOSED]])


def _most_changed_first(columns: Columns) -> np.ndarray:
    return np.lexsort([*(columns[name] for name in reversed(BOX_COLUMNS)), columns[ERASED]])


def _images(columns: Columns) -> np.ndarray:
    """A number for each image."""
    return numbered([f"{pair} {side}" for pair, side in zip(columns["pair_id"], columns["found_in"], strict=True)])


def _apart(columns: Columns, settings: RemovedPairsSettings) -> Booleans:
    """Non-maximum suppression within each image, best proposal first."""
    boxes = np.stack([columns[name] for name in BOX_COLUMNS], axis=1)
    return suppress(boxes, _best_first(columns), settings.max_overlap, _images(columns))


def _proposal_rank(columns: Columns, settings: RemovedPairsSettings) -> np.ndarray:
    """Place among the image's boxes, the best proposal first (0)."""
    return ranks(_best_first(columns), _images(columns))


def _rank(columns: Columns, settings: RemovedPairsSettings) -> np.ndarray:
    """Place among the image's erased regions, the most changed first (0)."""
    return ranks(_most_changed_first(columns), _images(columns))


def _region(left: float, score: str, value: float, side: str = "source") -> Row:
    corners = dict(zip(BOX_COLUMNS, (left, 0.0, left + 10.0, 10.0), strict=True))
    return {"pair_id": "canary", "found_in": side, **corners, score: value}


def _canary_same_region(settings: RemovedPairsSettings) -> Canaries:
    """The same box twice in one image, and the weaker proposal is one too many; and one elsewhere."""
    kept = [_region(0, PROPOSED, 0.9), _region(100, PROPOSED, 0.5)]
    return Canaries(kept, [_region(0, PROPOSED, 0.8)] if settings.max_overlap < 1 else [])


def _canary_many(limit: str, score: str, best: float) -> Callable[[Any], Canaries]:
    """As many regions of one image as are kept, the best last; a worse one of the other image; and one too many."""

    def canaries(settings: Any) -> Canaries:
        count, step = getattr(settings, limit), 0.5 - best
        kept = [_region(20.0 * number, score, best + step * (1 - number / count)) for number in range(count)]
        another = _region(0, score, best + 1.8 * step, "target")
        return Canaries([*kept, another], [_region(0, score, best + 1.4 * step)])

    return canaries


_canary_proposals = _canary_many("max_candidates", PROPOSED, best=0.9)
_canary_erasures = _canary_many("max_regions", ERASED, best=0.1)


def contents(row: Mapping[str, Any]) -> list[str]:
    """From which image, with which seed."""
    if row["erased_hash"] is None:
        return []
    return [f"erased from the {row['found_in']} image, seed {row['seed']}"]


STAGE = Stage(
    name="removed_pairs",
    id_column="region_id",
    parents=("bounding_boxes", "image_pairs"),
    also=(DERIVED,),
    above=(Above("bounding_boxes", "region_id"),),
    section=RemovedPairsSettings,
    description=__doc__,
    item_columns=(
        *(pa.field(name, pa.string()) for name in REGION_COLUMNS),
        *(pa.field(name, pa.float32()) for name in BOX_COLUMNS),
        share("area_fraction"),
        quality(PROPOSED),
    ),
    items=items,
    of_rejected=("no_proposals",),
    contents=contents,
    steps=(
        at_least("too_small", "area_fraction", "min_area_fraction", "the box is too small"),
        below("too_large", "area_fraction", "max_area_fraction", "the box is too large"),
        Filter(
            "same_region",
            (*PLACE, PROPOSED),
            _apart,
            "a box that overlaps it is a better proposal",
            _canary_same_region,
            threshold="max_overlap",
        ),
        Derivation(pa.field("proposal_rank", pa.int32()), (*PLACE, PROPOSED), _proposal_rank),
        below(
            "beyond_the_best",
            "proposal_rank",
            "max_candidates",
            "the image has enough boxes that are better proposals",
            _canary_proposals,
        ),
        Measurement(
            name="erase",
            columns=(
                pa.field("seed", pa.int64()),
                pa.field("erased_hash", pa.string()),
                pa.field("erased_image", IMAGE),
            ),
            inputs=REGION_INPUTS,
            run=erase,
            settings=("seed", "mask_padding"),
            indifferent=("image_pairs.compression",),
            roles=("inpainter",),
        ),
        Measurement(
            name="compare",
            columns=(cosine(ERASED),),
            inputs=(*REGION_INPUTS, "erased_hash"),
            run=compare,
            settings=("crop_padding",),
            roles=("image_text_encoder",),
            pictures_alone=True,
        ),
        below("not_erased", ERASED, "max_erased_similarity", "the box shows the same as before it was erased"),
        Derivation(pa.field("rank", pa.int32()), (*PLACE, ERASED), _rank),
        below(
            "beyond_the_first",
            "rank",
            "max_regions",
            "there are enough boxes that are more different",
            _canary_erasures,
        ),
    ),
)
