"""Image pairs to filtered pairs: similar enough to be comparable, different enough to be worth asking about."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from imgdiff_assets.recipe import FilteredPairsSettings, Recipe
from imgdiff_assets.stage import Booleans, Columns, Filter, Measurement, Row, Stage, Work

ITEM_COLUMNS = ("pair_id", "source_hash", "target_hash")


def items(tables: Mapping[str, pa.Table], recipe: Recipe) -> list[Row]:
    """Every image pair that could be drawn."""
    rows = tables["image_pairs"].select([*ITEM_COLUMNS, "kept"]).to_pylist()
    return [
        {**{name: row[name] for name in ITEM_COLUMNS}, "parent_kept": row["kept"]}
        for row in rows
        if row["source_hash"]
    ]


def compare(rows: Sequence[Row], work: Work) -> list[Row]:
    """Cosine of the two images' vectors."""
    pairs = [work.images(row["pair_id"]) for row in rows]
    vectors = work.model("image_text_encoder").encode_images([image for pair in pairs for image in pair])
    similarities = np.sum(vectors[0::2] * vectors[1::2], axis=1)
    return [{"image_similarity": float(similarity)} for similarity in similarities]


def _similar(columns: Columns, settings: FilteredPairsSettings) -> Booleans:
    return columns["image_similarity"] >= settings.min_similarity


def _different(columns: Columns, settings: FilteredPairsSettings) -> Booleans:
    return columns["image_similarity"] <= settings.max_similarity


STAGE = Stage(
    name="filtered_pairs",
    id_column="pair_id",
    parents=("image_pairs",),
    description=__doc__,
    item_columns=tuple(pa.field(name, pa.string()) for name in ITEM_COLUMNS),
    items=items,
    row_id=lambda row: str(row["pair_id"]),
    steps=(
        Measurement(
            name="compare",
            columns=(pa.field("image_similarity", pa.float32()),),
            inputs=ITEM_COLUMNS,
            run=compare,
            roles=("image_text_encoder",),
        ),
        Filter("too_different", ("image_similarity",), _similar, "image_similarity", "min_similarity"),
        Filter("too_similar", ("image_similarity",), _different, "image_similarity", "max_similarity"),
    ),
)
