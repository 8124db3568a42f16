"""Prompt pairs to image pairs: two images of one start noise, alike but for the replaced object."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from imgdiff_assets.common.aliases import Row
from imgdiff_assets.common.hashing import seed_of
from imgdiff_assets.ledger.images import encode_png, pixel_hash
from imgdiff_assets.ledger.ledger import IMAGE
from imgdiff_assets.stages.settings import StageSettings
from imgdiff_assets.stages.stage import Above, Stage
from imgdiff_assets.stages.steps import Measurement, Work

PROMPT_COLUMNS = ("pair_id", "source_caption", "target_caption")


class ImagePairsSettings(StageSettings):
    """Prompt pairs to image pairs."""

    compression: int = Field(6, ge=0, le=9, description="Effort of the lossless PNG compression; no effect on pixels.")


def items(tables: Mapping[str, pa.Table], settings: Mapping[str, Any]) -> pa.Table:
    """Every prompt pair that has a target caption."""
    return tables["prompt_pairs"].select([*PROMPT_COLUMNS, "kept"]).filter(pc.field("target_caption").is_valid())


def generate(rows: Sequence[Row], work: Work) -> list[Row]:
    """Draw both images of each pair; the start noise is a function of the recipe's seed and the pair."""
    seeds = [seed_of(work.settings["seed"], "image_pair", row["pair_id"]) for row in rows]
    sources, targets = work.model("pair_generator").generate(
        [row["source_caption"] for row in rows], [row["target_caption"] for row in rows], seeds
    )
    compression = work.settings["compression"]
    return [
        {
            "seed": seed,
            "width": source.shape[1],
            "height": source.shape[0],
            "source_hash": pixel_hash(source),
            "target_hash": pixel_hash(target),
            "source_image": {"bytes": encode_png(source, compression), "path": f"{row['pair_id']}_source.png"},
            "target_image": {"bytes": encode_png(target, compression), "path": f"{row['pair_id']}_target.png"},
        }
        for row, seed, source, target in zip(rows, seeds, sources, targets, strict=True)
    ]


def contents(row: Mapping[str, Any]) -> list[str]:
    """Size and seed."""
    if row["width"] is None:
        return []
    seed = "given" if row["seed"] is None else f"seed {row['seed']}"
    return [f"{row['width']} × {row['height']} pixels, {seed}"]


STAGE = Stage(
    name="image_pairs",
    id_column="pair_id",
    parents=("prompt_pairs",),
    above=(Above("prompt_pairs", "pair_id"),),
    section=ImagePairsSettings,
    description=__doc__,
    item_columns=tuple(pa.field(name, pa.string()) for name in PROMPT_COLUMNS),
    items=items,
    contents=contents,
    steps=(
        Measurement(
            name="generate",
            columns=(
                pa.field("seed", pa.int64()),
                pa.field("width", pa.int32()),
                pa.field("height", pa.int32()),
                pa.field("source_hash", pa.string()),
                pa.field("target_hash", pa.string()),
                pa.field("source_image", IMAGE),
                pa.field("target_image", IMAGE),
            ),
            inputs=PROMPT_COLUMNS,
            run=generate,
            settings=("seed",),
            indifferent=("compression",),
            roles=("pair_generator",),
        ),
    ),
)
