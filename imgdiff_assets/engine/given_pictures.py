"""The stages of a shard of pictures: the captioner says what a picture shows, and the editor makes the target of it.

`prompt_pairs` has a measurement more, the caption of a picture that came without one; `image_pairs` takes the picture
for the source. All else is as it is for captions, and so are all later stages. Their tables have a few columns more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from imgdiff_assets.common.aliases import Row
from imgdiff_assets.common.errors import ImgDiffError
from imgdiff_assets.common.tables import rows_of
from imgdiff_assets.stages import image_pairs, prompt_pairs
from imgdiff_assets.stages.instructions import INSTRUCTION, TOLD_BY, told
from imgdiff_assets.stages.pair_methods import LAID_BACK, METHOD, OF_PICTURE
from imgdiff_assets.stages.pictures import CAPTION, FITTING, GIVEN, SECTION, pair_id, source_picture
from imgdiff_assets.stages.stage import Stage
from imgdiff_assets.stages.steps import Work

OF_PROMPTS = f"prompt_pairs.{SECTION}."
FITTED = pa.field("fitted", pa.string())
"""What was scaled and cropped of a picture, in words; null where nothing was."""


class NoInstruction(ImgDiffError, ValueError):
    """A prompt pair whose words tell an editor nothing."""


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


def _pair_items(tables: Mapping[str, pa.Table], settings: Mapping[str, Any]) -> pa.Table:
    """Every prompt pair that has a target caption, with its picture and what the editor is to be told."""
    prompts = tables["prompt_pairs"].filter(pc.field("target_caption").is_valid())
    rows = rows_of(prompts, [name for name in TOLD_BY if name in prompts.column_names])
    laid_back = settings["lay_back"] or None
    return (
        prompts.select([*image_pairs.PROMPT_COLUMNS, "caption_id", "picture_hash", "kept"])
        .append_column(METHOD, pa.array([OF_PICTURE] * len(rows), METHOD.type))
        .append_column(INSTRUCTION, pa.array([told(row) for row in rows], INSTRUCTION.type))
        .append_column(LAID_BACK, pa.array([laid_back] * len(rows), LAID_BACK.type))
    )


def edit_pictures(rows: Sequence[Row], work: Work) -> list[Row]:
    """The pair of each picture; what was scaled and cropped of it is told beside."""
    if untold := [row for row in rows if row[INSTRUCTION.name] is None]:
        raise NoInstruction(f"{untold[0]['target_caption']!r}: nobody can tell an editor how to come to that")
    seen = [source_picture(row["caption_id"], work, OF_PROMPTS) for row in rows]
    brought = [{**row, "picture": picture} for row, (picture, _) in zip(rows, seen, strict=True)]
    made = image_pairs.generate(brought, work)
    return [{**row, FITTED.name: done or None} for row, (_, done) in zip(made, seen, strict=True)]


def _of_pairs(stage: Stage) -> Stage:
    (generate,) = stage.measurements
    given = [pa.field(name, pa.string()) for name in (*image_pairs.PROMPT_COLUMNS, "caption_id", "picture_hash")]
    fitting = tuple(OF_PROMPTS + name for name in FITTING)
    editing = replace(
        generate,
        columns=(*generate.columns, FITTED),
        inputs=(*(column.name for column in given), METHOD.name, INSTRUCTION.name),
        later_inputs=(LAID_BACK.name,),
        run=edit_pictures,
        settings=(*generate.settings, *fitting),
        roles=("editor",),
        ways=None,
    )
    return replace(
        stage,
        item_columns=(*given, METHOD, INSTRUCTION, LAID_BACK),
        items=_pair_items,
        item_settings=("lay_back", *fitting),
        columns_with={},
        steps=(editing,),
    )


STAGES: Mapping[str, Stage] = {
    "prompt_pairs": _of_prompts(prompt_pairs.STAGE),
    "image_pairs": _of_pairs(image_pairs.STAGE),
}
