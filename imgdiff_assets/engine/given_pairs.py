"""The stages of a shard whose image pairs were given: no prompt is written for them, and nothing is drawn.

`prompt_pairs` takes over the given captions and objects, `image_pairs` the given images, each as they were ingested;
their tables have the columns of every other shard's, and no model has a part in them. All later stages are the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from imgdiff_assets.common.aliases import Row
from imgdiff_assets.engine import given_pictures
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.shards import PAIRS, PICTURES, given_pair_id, held_by
from imgdiff_assets.ledger.images import decode, pixel_hash
from imgdiff_assets.stages import image_pairs, named_rewrites, prompt_pairs
from imgdiff_assets.stages.best_of import ATTEMPTS
from imgdiff_assets.stages.stage import Stage
from imgdiff_assets.stages.steps import Derivation, Measurement, Work


def stage_of_shard(stage: Stage, home: Home, shard: str) -> Stage:
    """The stage as it is run on this shard. Raises ShardError for a shard that does not exist."""
    return stage_held(stage, held_by(home, shard)) if stage.name in GIVEN else stage


def stage_held(stage: Stage, held: str) -> Stage:
    """The stage as it is run on a shard that holds this: see `imgdiff_assets.ingest.shards.held_by`."""
    return {PAIRS: GIVEN, PICTURES: given_pictures.STAGES}.get(held, {}).get(stage.name, stage)


def items(tables: Mapping[str, pa.Table], settings: Mapping[str, Any]) -> pa.Table:
    """Every given pair, with what is said of it."""
    pairs = tables["caption_file"]
    count = len(pairs)
    return pa.table(
        {
            "pair_id": [given_pair_id(identity) for identity in pairs["caption_id"].to_pylist()],
            "caption_id": pairs["caption_id"],
            "attempt": np.zeros(count, dtype=np.int32),
            "source_caption": pairs["caption"],
            "filled": pa.nulls(count, pa.string()),
            "asked_kind": pa.nulls(count, pa.string()),
            "answer": pa.nulls(count, pa.string()),
            "target_caption": pairs["target_caption"],
            "edit_count": pa.nulls(count, pa.int32()),
            "source_object": pairs["source_object"],
            "target_object": pairs["target_object"],
            **{column.name: pa.nulls(count, column.type) for column in named_rewrites.COLUMNS},
            "kept": np.ones(count, dtype=bool),
        }
    )


def take_over(rows: Sequence[Row], work: Work) -> list[Row]:
    """Nothing is measured: all that there is was given."""
    return [{} for _ in rows]


def take_images(rows: Sequence[Row], work: Work) -> list[Row]:
    """The images as they were ingested."""
    results = []
    for row in rows:
        cells = work.given(row["pair_id"])
        images = {name: decode(cells[name]["bytes"]) for name in ("source_image", "target_image")}
        height, width = images["source_image"].shape[:2]
        results.append(
            {
                "seed": None,
                "width": width,
                "height": height,
                "source_hash": pixel_hash(images["source_image"]),
                "target_hash": pixel_hash(images["target_image"]),
                **{
                    name: {"bytes": cells[name]["bytes"], "path": f"{row['pair_id']}_{name.partition('_')[0]}.png"}
                    for name in images
                },
                ATTEMPTS.name: None,
            }
        )
    return results


def _given_prompts(stage: Stage) -> Stage:
    rewrite = stage.measurements[0]
    derived = [step for step in stage.steps if isinstance(step, Derivation)]
    told = [column for column in rewrite.columns if column not in named_rewrites.COLUMNS]
    known = [column.name for column in (*stage.item_columns, *told)]
    names = [name for name in known if name not in rewrite.later_inputs]
    taking = Measurement(name=rewrite.name, columns=(), inputs=("pair_id", *names), run=take_over)
    return replace(
        stage,
        item_columns=(pa.field("pair_id", pa.string()), *stage.item_columns, *rewrite.columns),
        items=items,
        item_settings=(),
        row_id=None,
        steps=(taking, *derived),
    )


def _given_images(stage: Stage) -> Stage:
    (generate,) = stage.measurements
    taking = replace(generate, run=take_images, settings=(), roles=(), more_roles={}, later_inputs=(), ways=None)
    return replace(stage, items=image_pairs.given_items, item_settings=(), steps=(taking,))


GIVEN: Mapping[str, Stage] = {
    "prompt_pairs": _given_prompts(prompt_pairs.STAGE),
    "image_pairs": _given_images(image_pairs.STAGE),
}
