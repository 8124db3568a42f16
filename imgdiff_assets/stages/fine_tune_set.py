"""Captions to the fine-tune set: one conversation over two images per kept region, split by caption.

A sample that reviewers rejected stays in the table, rejected.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from imgdiff_assets.conversations import conversation, pick, sentence, split
from imgdiff_assets.hashing import content_id
from imgdiff_assets.recipe import FineTuneSetSettings, Recipe
from imgdiff_assets.reviews import ACCEPT, REJECT
from imgdiff_assets.stage import Booleans, Canaries, Columns, Filter, Measurement, Row, Stage, Work
from imgdiff_assets.tables import look_up, positions, rows_of

TASK = "difference"
BOX_COLUMNS = ("x1", "y1", "x2", "y2")
REGION_COLUMNS = ("region_id", "pair_id", "difference_caption")


def items(tables: Mapping[str, pa.Table], recipe: Recipe) -> pa.Table:
    """Every region with a difference caption, the caption its pair began with, and what reviewers said of it."""
    regions = tables["captions"].select([*REGION_COLUMNS, *BOX_COLUMNS, "kept"])
    regions = regions.filter(pc.field("difference_caption") != "")
    prompts, reviews = look_up(tables["prompt_pairs"], "pair_id", regions["pair_id"]), tables["reviews"]
    samples = regions.append_column("caption_id", prompts["caption_id"])
    samples = samples.append_column("task", pa.array([TASK] * len(samples), pa.string()))
    ids = pa.chunked_array([[row_id(row) for row in rows_of(samples, ["task", *REGION_COLUMNS])]], pa.string())
    reviewed = positions(ids, reviews["sample_id"])
    return samples.append_column("review", reviews["review"].take(pa.array(reviewed, mask=reviewed < 0)))


def row_id(row: Row) -> str:
    return content_id("sample", row["task"], row["region_id"], row["difference_caption"])


def converse(rows: Sequence[Row], work: Work) -> list[Row]:
    """Question (a wording by the sample's seed), answer and split."""
    settings, seed = work.recipe.fine_tune_set, work.recipe.seed
    return [
        {
            "conversations": conversation(
                pick(settings.questions, seed, row["region_id"]), sentence(row["difference_caption"])
            ),
            "split": split(row["caption_id"], seed, settings.validation_fraction),
        }
        for row in rows
    ]


def _not_rejected(columns: Columns, settings: FineTuneSetSettings) -> Booleans:
    return np.array([verdict != REJECT for verdict in columns["review"]], dtype=bool)


def _canary_reviewed(settings: FineTuneSetSettings) -> Canaries:
    return Canaries(kept=[{"review": ACCEPT}, {"review": None}], rejected=[{"review": REJECT}])


STAGE = Stage(
    name="fine_tune_set",
    id_column="sample_id",
    parents=("captions", "prompt_pairs", "reviews"),
    description=__doc__,
    item_columns=(
        *(pa.field(name, pa.string()) for name in (*REGION_COLUMNS, "caption_id", "task", "review")),
        *(pa.field(name, pa.float32()) for name in BOX_COLUMNS),
    ),
    items=items,
    row_id=row_id,
    steps=(
        Filter("review", ("review",), _not_rejected, _canary_reviewed),
        Measurement(
            name="converse",
            columns=(
                pa.field("conversations", pa.list_(pa.struct([("from", pa.string()), ("value", pa.string())]))),
                pa.field("split", pa.string()),
            ),
            inputs=(*REGION_COLUMNS, "caption_id", "task"),
            run=converse,
            settings=lambda recipe: {"seed": recipe.seed, **recipe.fine_tune_set.model_dump(mode="json")},
        ),
    ),
)
