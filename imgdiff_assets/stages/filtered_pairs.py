"""Image pairs to filtered pairs: similar enough to be comparable, different enough to be worth asking about."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from imgdiff_assets.common.aliases import Row
from imgdiff_assets.common.tables import rows_of
from imgdiff_assets.method.near_duplicates import SIGNATURE_COLUMNS, signatures
from imgdiff_assets.stages.alignment import STEPS as ALIGNMENT
from imgdiff_assets.stages.alignment import AlignmentSettings
from imgdiff_assets.stages.derived_items import FROM, with_derived
from imgdiff_assets.stages.derived_items import TABLE as DERIVED
from imgdiff_assets.stages.instructions import INSTRUCTION
from imgdiff_assets.stages.plausibility import STEPS as PLAUSIBILITY
from imgdiff_assets.stages.plausibility import PlausibilitySettings
from imgdiff_assets.stages.seen_instructions import SECTION as SEEN_INSTRUCTIONS
from imgdiff_assets.stages.seen_instructions import SEEN, TOLD, SeenInstructionSettings, told
from imgdiff_assets.stages.seen_instructions import STEPS as RETELLING
from imgdiff_assets.stages.settings import StageSettings, in_order, off_unless_named
from imgdiff_assets.stages.stage import Above, Stage
from imgdiff_assets.stages.steps import Measurement, Work, at_least, below, cosine

ITEM_COLUMNS = ("pair_id", "source_hash", "target_hash")
CAPTIONS = ("source_caption", "target_caption")


class FilteredPairsSettings(StageSettings):
    """Image pairs similar enough to compare and different enough to ask about: cosine of the two image vectors."""

    min_similarity: float = Field(0.90, ge=-1, le=1, description="Less similar pairs are rejected: `too_different`.")
    max_similarity: float = Field(0.98, ge=-1, le=1, description="More similar pairs are rejected: `too_similar`.")
    plausibility: PlausibilitySettings | None = off_unless_named(
        "The verifier is asked whether the images look right: `{}` has it on."
    )
    alignment: AlignmentSettings | None = off_unless_named(
        "Pairs whose images are shifted or zoomed against each other are rejected: `{}` has it on."
    )
    seen_instructions: SeenInstructionSettings | None = off_unless_named(
        "Of each kept pair the captioner or the rewriter says what instruction fits what came out: `{}` has it on."
    )

    @model_validator(mode="after")
    def _some_pair_can_pass(self) -> "FilteredPairsSettings":
        return in_order(self, "min_similarity", "max_similarity")


def items(tables: Mapping[str, pa.Table], settings: Mapping[str, Any]) -> pa.Table:
    """Every image pair that could be drawn, and those that are derived of them."""
    pairs = with_derived(tables)["image_pairs"]
    pairs = pairs.filter(pc.field("source_hash").is_valid())
    names = [name for name in (*ITEM_COLUMNS, FROM, "kept") if name in pairs.column_names]
    known = [name for name in (*CAPTIONS, INSTRUCTION.name) if name in pairs.column_names]
    return pairs.select(names).append_column(TOLD, pa.array([told(row) for row in rows_of(pairs, known)], TOLD.type))


def contents(row: Mapping[str, Any]) -> list[str]:
    """The instruction that fits what came out."""
    seen = row.get(SEEN.name)
    return [f"instruction by what is seen: {seen}"] if seen else []


def compare(rows: Sequence[Row], work: Work) -> list[Row]:
    """Cosine of the two images' vectors, and the signatures by which near-duplicates among other pairs are found."""
    pairs = [work.images(row["pair_id"]) for row in rows]
    images = [image for pair in pairs for image in pair]
    vectors = work.model("image_encoder").encode_images(images)
    similarities = np.sum(vectors[0::2] * vectors[1::2], axis=1)
    return [
        {"image_similarity": float(similarity), **signature}
        for similarity, signature in zip(similarities, signatures(images, vectors), strict=True)
    ]


STAGE = Stage(
    name="filtered_pairs",
    id_column="pair_id",
    parents=("image_pairs",),
    also=(DERIVED,),
    above=(Above(DERIVED, "pair_id", having=(FROM,)), Above("image_pairs", "pair_id")),
    section=FilteredPairsSettings,
    description=__doc__,
    item_columns=(*(pa.field(name, pa.string()) for name in (*ITEM_COLUMNS, FROM)), TOLD),
    columns_with={DERIVED: (FROM,), SEEN_INSTRUCTIONS: (TOLD.name,)},
    items=items,
    contents=contents,
    steps=(
        *ALIGNMENT,
        Measurement(
            name="compare",
            columns=(
                cosine("image_similarity"),
                *(pa.field(name, pa.string()) for name in SIGNATURE_COLUMNS),
            ),
            inputs=ITEM_COLUMNS,
            run=compare,
            roles=("image_text_encoder",),
            pictures_alone=True,
            version=2,
        ),
        at_least("too_different", "image_similarity", "min_similarity", "the two images are too different to compare"),
        below("too_similar", "image_similarity", "max_similarity", "the two images are too much alike"),
        *PLAUSIBILITY,
        *RETELLING,
    ),
)
