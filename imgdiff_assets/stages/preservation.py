"""Whether a pair is the same outside its regions: an edit that changed more than was asked. Off unless named."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
from pydantic import Field

from imgdiff_assets.common.aliases import Booleans, Columns, Pixels, Row
from imgdiff_assets.method.regions import BOX_COLUMNS
from imgdiff_assets.stages.phrases import texts
from imgdiff_assets.stages.settings import StageSettings
from imgdiff_assets.stages.steps import Derivation, Measurement, Work, at_least, cosine, score, unless_missing
from resources.images.crops import padded

SECTION = "preserved"
BOXES = "regions_of_pair"
GREY = np.uint8(128)
CLEAN = 100.0
"""PSNR of equal pixels, in dB: more than rounding to 8 bits leaves of any other."""


class PreservedSettings(StageSettings):
    """Whether the two images are the same outside the kept regions of the pair."""

    margin: int = Field(4, ge=0, description="Pixels around a region that belong to it: an edit's edge is soft.")
    min_psnr: float = Field(
        0.0,
        ge=0,
        le=CLEAN,
        description="The least PSNR outside the regions (dB); regions of other pairs are rejected.",
    )
    min_similarity: float = Field(
        -1.0, ge=-1, le=1, description="The least cosine of the two images' vectors, the regions blanked in both."
    )


def _regions_of_pair(columns: Columns, settings: PreservedSettings) -> np.ndarray:
    """Of each row, the boxes of all rows of its pair, as a text: equal for all of a pair, whatever their order."""
    rows = zip(*(columns[name].astype(np.float32).tolist() for name in BOX_COLUMNS), strict=True)
    of_pair: dict[str, set[str]] = {}
    for pair, box in zip(columns["pair_id"], rows, strict=True):
        of_pair.setdefault(pair, set()).add(" ".join(f"{corner:.2f}" for corner in box))
    joined = {pair: ", ".join(sorted(boxes)) for pair, boxes in of_pair.items()}
    return texts(joined[pair] for pair in columns["pair_id"])


def preserve(rows: Sequence[Row], work: Work) -> list[Row]:
    """PSNR and cosine of each pair outside its regions, once for all rows of a pair; null where nothing is outside."""
    pairs = list(dict.fromkeys((row["pair_id"], row[BOXES]) for row in rows))
    ratios, blanked = list[float | None](), list[Pixels]()
    for pair_id, boxes in pairs:
        source, target = work.images(pair_id)
        outside = _outside(boxes, source, work.settings["margin"])
        ratios.append(psnr(source[outside], target[outside]) if outside.any() else None)
        blanked += [np.where(outside[..., None], image, GREY) for image in (source, target)]
    vectors = work.model("image_encoder").encode_images(blanked)
    similarities = np.sum(vectors[0::2] * vectors[1::2], axis=1).tolist()
    found = {
        pair: {"preserved_psnr": ratio, "preserved_similarity": None if ratio is None else similarity}
        for pair, ratio, similarity in zip(pairs, ratios, similarities, strict=True)
    }
    return [found[row["pair_id"], row[BOXES]] for row in rows]


def psnr(one: Pixels, other: Pixels) -> float:
    """Peak signal-to-noise ratio of equally many uint8 values, in dB; CLEAN where they are equal."""
    error = float(np.mean((one.astype(np.float64) - other) ** 2))
    return CLEAN if error == 0 else float(min(10 * np.log10(255**2 / error), CLEAN))


def _outside(boxes: str, image: Pixels, margin: int) -> Booleans:
    """(H, W): which pixels lie outside the boxes, grown by a margin."""
    outside = np.ones(image.shape[:2], dtype=bool)
    for box in boxes.split(", "):
        x1, y1, x2, y2 = padded([float(corner) for corner in box.split()], margin, image.shape[1], image.shape[0])
        outside[y1:y2, x1:x2] = False
    return outside


STEPS = tuple(
    replace(step, section=SECTION)
    for step in (
        Derivation(pa.field(BOXES, pa.string()), ("pair_id", *BOX_COLUMNS), _regions_of_pair),
        Measurement(
            name="preserve",
            columns=(score("preserved_psnr", 0.0, CLEAN), cosine("preserved_similarity")),
            inputs=("pair_id", "source_hash", "target_hash", BOXES),
            run=preserve,
            settings=("margin",),
            roles=("image_text_encoder",),
            pictures_alone=True,
        ),
        unless_missing(
            at_least("not_preserved", "preserved_psnr", "min_psnr", "the two images differ outside the regions (PSNR)")
        ),
        unless_missing(
            at_least(
                "not_preserved_in_content",
                "preserved_similarity",
                "min_similarity",
                "the two images show something else outside the regions (vectors)",
            )
        ),
    )
)
