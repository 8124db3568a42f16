"""Prompt pairs to image pairs: two images of one start noise, alike but for the replaced object."""

from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from imgdiff_assets.common.aliases import Row
from imgdiff_assets.common.hashing import seed_of
from imgdiff_assets.ledger.cells import IMAGE
from imgdiff_assets.ledger.images import encode_png, pixel_hash
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.stage import Measurement, Stage, Work

PROMPT_COLUMNS = ("pair_id", "source_caption", "target_caption")


def items(tables: Mapping[str, pa.Table], recipe: Recipe) -> pa.Table:
    """Every prompt pair that has a target caption."""
    return tables["prompt_pairs"].select([*PROMPT_COLUMNS, "kept"]).filter(pc.field("target_caption").is_valid())


def generate(rows: Sequence[Row], work: Work) -> list[Row]:
    """Draw both images of each pair; the start noise is a function of the recipe's seed and the pair."""
    seeds = [seed_of(work.recipe.seed, "image_pair", row["pair_id"]) for row in rows]
    sources, targets = work.model("pair_generator").generate(
        [row["source_caption"] for row in rows], [row["target_caption"] for row in rows], seeds
    )
    compression = work.recipe.image_pairs.compression
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


STAGE = Stage(
    name="image_pairs",
    id_column="pair_id",
    parents=("prompt_pairs",),
    description=__doc__,
    item_columns=tuple(pa.field(name, pa.string()) for name in PROMPT_COLUMNS),
    items=items,
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
            settings=lambda recipe: {"seed": recipe.seed},
            roles=("pair_generator",),
        ),
    ),
)
