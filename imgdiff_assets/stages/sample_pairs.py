"""What is known of each pair that was compared: captions, images, split, how near it is to the validation split."""

from collections.abc import Callable, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from imgdiff_assets.common.aliases import Row
from imgdiff_assets.common.tables import look_up, rows_of, values_of
from imgdiff_assets.ledger.images import HASH_COLUMNS
from imgdiff_assets.method.kind import kind_of
from imgdiff_assets.method.near_duplicates import SIGNATURE_COLUMNS, nearest, unpacked
from imgdiff_assets.stages.derived_items import with_derived
from imgdiff_assets.stages.seen_instructions import SEEN

PROMPTS = (
    "caption_id",
    "source_caption",
    "target_caption",
    "source_object",
    "target_object",
    "change_kind",
    "asked_kind",
)
COMPARED = ("pair_id", "image_similarity", "rejected_by")
NEGATIVES = "too_similar"
"""The filter of image pairs whose rejected rows show the same twice."""


def compared_pairs(tables: Mapping[str, pa.Table], side_of: Callable[[str], str]) -> dict[str, Row]:
    """What is known of each pair that was compared."""
    tables = with_derived(tables)
    compared = tables["filtered_pairs"].filter(pc.field("source_phash").is_valid())
    prompts = look_up(tables["prompt_pairs"], "pair_id", compared["pair_id"])
    drawn = look_up(tables["image_pairs"], "pair_id", compared["pair_id"])
    splits = [side_of(caption_id) for caption_id in values_of(prompts["caption_id"])]
    signed = list(zip(*(values_of(compared[name]) for name in SIGNATURE_COLUMNS), strict=True))
    validating = [images for images, side in zip(signed, splits, strict=True) if side == "validation"]
    bits, cosines = nearest(unpacked(signed), unpacked(validating))
    known: dict[str, Row] = {}
    rows = zip(
        rows_of(compared, [*COMPARED, *(name for name in (SEEN.name,) if name in compared.column_names)]),
        rows_of(prompts, PROMPTS),
        rows_of(drawn, [*HASH_COLUMNS, "width", "height"]),
        strict=True,
    )
    for (pair, prompt, image), side, distance, similarity in zip(rows, splits, bits, cosines, strict=True):
        training = side == "train"
        known[pair["pair_id"]] = {
            **pair,
            **prompt,
            **image,
            "too_similar": pair["rejected_by"] == NEGATIVES,
            "kind": kind_of(prompt),
            "split": side,
            "validation_bits": int(distance) if training else None,
            "validation_similarity": float(similarity) if training else None,
        }
    return known
