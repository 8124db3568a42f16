"""Removed pairs to removal captions: what stood in each erased region, seen in the one image and not in the other."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from imgdiff_assets.common.aliases import Columns, Row
from imgdiff_assets.method.regions import BOX_COLUMNS
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.recipe.stage_settings import RemovalCaptionsSettings
from imgdiff_assets.stages.captions import NoAnswer
from imgdiff_assets.stages.removed_pairs import REGION_COLUMNS, REGION_INPUTS, box_of, shown_in
from imgdiff_assets.stages.stage import Derivation, Measurement, Stage, Work, at_least, below
from resources.images.crops import cut

ITEM_COLUMNS = (*REGION_COLUMNS, "erased_hash")
CAPTION = "region_caption"
VIEWS = ("original", "erased")
HEADS = ("itc", "itm")


def items(tables: Mapping[str, pa.Table], recipe: Recipe) -> pa.Table:
    """Every region that was erased."""
    regions = tables["removed_pairs"].select([*ITEM_COLUMNS, *BOX_COLUMNS, "kept"])
    return regions.filter(pc.field("erased_hash").is_valid())


def describe(rows: Sequence[Row], work: Work) -> list[Row | NoAnswer]:
    """One caption of what the region shows before it is erased."""
    settings = work.recipe.removal_captions
    views, questions = [], []
    for row in rows:
        image, box = shown_in(row, work), box_of(row)
        height, width = image.shape[:2]
        shares = np.array(box) / (width, height, width, height)
        views.append([image if settings.region_view == "full" else cut(image, box, settings.crop_padding)])
        questions.append(settings.region_question.format(**dict(zip(BOX_COLUMNS, shares, strict=True))))
    answers = [" ".join(answer.split()) for answer in work.model("captioner").answer(views, questions)]
    return [{CAPTION: answer} if answer else NoAnswer("the captioner said nothing") for answer in answers]


def score(rows: Sequence[Row], work: Work) -> list[Row]:
    """How well the caption fits the region's crop in the original image, and in the erased one."""
    crops, texts = [], []
    for row in rows:
        for image in (shown_in(row, work), work.erased(row["region_id"])):
            crops.append(cut(image, box_of(row), work.recipe.removal_captions.crop_padding))
            texts.append(row[CAPTION])
    scores = dict(zip(HEADS, work.model("image_text_matcher").match(crops, texts), strict=True))
    return [
        {
            f"{view}_match_{head}": float(scores[head][2 * index + place])
            for head in HEADS
            for place, view in enumerate(VIEWS)
        }
        for index in range(len(rows))
    ]


def _match_of(view: str) -> Callable[[Columns, RemovalCaptionsSettings], np.ndarray]:
    return lambda columns, settings: columns[f"{view}_match_{settings.match_score}"]


def _match(view: str) -> Derivation:
    """The score that the recipe compares, of the two that were measured."""
    names = tuple(f"{view}_match_{head}" for head in HEADS)
    return Derivation(pa.field(f"{view}_match", pa.float32()), names, _match_of(view))


def _describing(recipe: Recipe) -> dict[str, Any]:
    return recipe.removal_captions.model_dump(include={"region_view", "region_question", "crop_padding"})


STAGE = Stage(
    name="removal_captions",
    id_column="region_id",
    parents=("removed_pairs", "image_pairs"),
    description=__doc__,
    item_columns=(
        *(pa.field(name, pa.string()) for name in ITEM_COLUMNS),
        *(pa.field(name, pa.float32()) for name in BOX_COLUMNS),
    ),
    items=items,
    steps=(
        Measurement(
            name="describe",
            columns=(pa.field(CAPTION, pa.string()),),
            inputs=REGION_INPUTS,
            run=describe,
            settings=_describing,
            roles=("captioner",),
        ),
        Measurement(
            name="score",
            columns=tuple(pa.field(f"{view}_match_{head}", pa.float32()) for head in HEADS for view in VIEWS),
            inputs=(*REGION_INPUTS, "erased_hash", CAPTION),
            run=score,
            settings=lambda recipe: {"crop_padding": recipe.removal_captions.crop_padding},
            roles=("image_text_matcher",),
        ),
        _match("original"),
        at_least("caption_misfits", "original_match", "min_original_match"),
        _match("erased"),
        below("still_there", "erased_match", "max_erased_match"),
    ),
)
