"""The stages of a shard of pictures: the captioner says what a picture shows, and the editor makes the target of it.

`prompt_pairs` has a measurement more, the caption of a picture that came without one; `image_pairs` takes the picture
for the source. All else is as it is for captions, and so are all later stages. Their tables have a few columns more.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from imgdiff_assets.stages import prompt_pairs
from imgdiff_assets.stages.pictures import CAPTION, GIVEN, pair_id
from imgdiff_assets.stages.stage import Stage


def _prompt_items(tables: Mapping[str, pa.Table], settings: Mapping[str, Any]) -> pa.Table:
    """Every picture, as often as the recipe asks; null is a caption that was not given."""
    items = prompt_pairs.STAGE.items(tables, settings)
    pictures = tables["caption_file"]
    times = np.arange(len(pictures)).repeat(settings["attempts"])
    captions = [text or None for text in pictures["caption"].take(times).to_pylist()]
    pairs = zip(items["caption_id"].to_pylist(), items["attempt"].to_pylist(), strict=True)
    return (
        items.drop_columns(["source_caption"])
        .append_column("pair_id", pa.array([pair_id(*pair) for pair in pairs], pa.string()))
        .append_column("picture_hash", pictures["picture_hash"].take(times))
        .append_column("given_caption", pa.array(captions, pa.string()))
    )


def _of_prompts(stage: Stage) -> Stage:
    own = [column for column in stage.item_columns if column.name != "source_caption"]
    given = [pa.field(name, pa.string()) for name in GIVEN]
    return replace(
        stage,
        item_columns=(pa.field("pair_id", pa.string()), *own, *given),
        items=_prompt_items,
        row_id=None,
        steps=(CAPTION, *stage.steps),
    )


STAGES: Mapping[str, Stage] = {"prompt_pairs": _of_prompts(prompt_pairs.STAGE)}
