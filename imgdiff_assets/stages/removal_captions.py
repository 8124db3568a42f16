"""Removed pairs to removal captions: what stood in each erased region, seen in the one image and not in the other."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, field_validator, model_validator

from imgdiff_assets.common.aliases import Columns, Row
from imgdiff_assets.common.templates import fillable
from imgdiff_assets.method.regions import BOX_COLUMNS
from imgdiff_assets.stages.derived_items import TABLE as DERIVED
from imgdiff_assets.stages.differences import NoAnswer
from imgdiff_assets.stages.matches import HEADS, matches
from imgdiff_assets.stages.phrases import SpokenSettings, phrase_in, spoken, told
from imgdiff_assets.stages.removed_pairs import REGION_COLUMNS, REGION_INPUTS, box_of, shown_in
from imgdiff_assets.stages.settings import in_order
from imgdiff_assets.stages.stage import Above, Stage
from imgdiff_assets.stages.steps import Derivation, Measurement, Work, at_least, below, cosine
from resources.images.crops import cut

ITEM_COLUMNS = (*REGION_COLUMNS, "erased_hash")
CAPTION, PHRASE = "region_caption", "region_phrase"
VIEWS = ("original", "erased")


class RemovalCaptionsSettings(SpokenSettings):
    """What stood in each erased region, seen in the one image and not in the other."""

    region_view: Literal["crop", "full"] = Field(
        "full", description="Show the captioner the region's crop, or the whole image with the box in the question."
    )
    region_question: str = Field(
        "Describe in one short sentence the object inside the box with the normalised corners "
        "[{x1:.2f}, {y1:.2f}, {x2:.2f}, {y2:.2f}].",
        description="May use {x1} {y1} {x2} {y2} (fractions of width and height).",
    )
    crop_padding: int = Field(5, ge=0, description="Pixels added around a box before its crop is captioned or scored.")
    match_score: Literal["itc", "itm"] = Field(
        "itc", description="Contrastive cosine, or the matching head's probability."
    )
    min_original_match: float = Field(
        0.35, ge=-1, le=1, description="The caption must fit the original crop at least this well."
    )
    max_erased_match: float = Field(
        0.20, ge=-1, le=1, description="A caption that fits the erased crop this well names what is still there."
    )

    @field_validator("region_question")
    @classmethod
    def _region_question_can_be_asked(cls, question: str) -> str:
        return fillable(question, x1=0.0, y1=0.0, x2=1.0, y2=1.0)

    @model_validator(mode="after")
    def _one_image_shows_it(self) -> "RemovalCaptionsSettings":
        # Else a caption could fit the erased image better, and the answer would be the wrong way round.
        return in_order(self, "max_erased_match", "min_original_match")


def items(tables: Mapping[str, pa.Table], settings: Mapping[str, Any]) -> pa.Table:
    """Every region that was erased."""
    regions = tables["removed_pairs"].select([*ITEM_COLUMNS, *BOX_COLUMNS, "kept"])
    return regions.filter(pc.field("erased_hash").is_valid())


def describe(rows: Sequence[Row], work: Work) -> list[Row | NoAnswer]:
    """One caption of what the region shows before it is erased."""
    settings = work.settings
    views, questions = [], []
    for row in rows:
        image, box = shown_in(row, work), box_of(row)
        height, width = image.shape[:2]
        shares = np.array(box) / (width, height, width, height)
        views.append([image if settings["region_view"] == "full" else cut(image, box, settings["crop_padding"])])
        questions.append(settings["region_question"].format(**dict(zip(BOX_COLUMNS, shares, strict=True))))
    answers = [" ".join(answer.split()) for answer in work.model("captioner").answer(views, questions)]
    return [{CAPTION: answer} if answer else NoAnswer("the captioner said nothing") for answer in answers]


def score(rows: Sequence[Row], work: Work) -> list[Row]:
    """How well the caption fits the region's crop in the original image, and in the erased one."""
    crops, texts = [], []
    for row in rows:
        for image in (shown_in(row, work), work.erased(row["region_id"])):
            crops.append(cut(image, box_of(row), work.settings["crop_padding"]))
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
    return Derivation(cosine(f"{view}_match"), names, _match_of(view))


def contents(row: Mapping[str, Any]) -> list[str]:
    """What was said to have been there."""
    return [f"was there: {row[CAPTION]}"] if row[CAPTION] else []


STAGE = Stage(
    name="removal_captions",
    id_column="region_id",
    parents=("removed_pairs", "image_pairs"),
    also=(DERIVED,),
    above=(Above("removed_pairs", "region_id"),),
    section=RemovalCaptionsSettings,
    description=__doc__,
    item_columns=(
        *(pa.field(name, pa.string()) for name in ITEM_COLUMNS),
        *(pa.field(name, pa.float32()) for name in BOX_COLUMNS),
    ),
    items=items,
    contents=contents,
    steps=(
        Measurement(
            name="describe",
            columns=(pa.field(CAPTION, pa.string()),),
            inputs=REGION_INPUTS,
            run=describe,
            settings=("region_view", "region_question", "crop_padding"),
            roles=("captioner",),
        ),
        phrase_in(CAPTION, PHRASE),
        told("nothing_named", (CAPTION,), (PHRASE,), "the captioner named nothing that the region shows"),
        spoken((CAPTION,)),
        Measurement(
            name="score",
            columns=matches(*(f"{view}_match" for view in VIEWS)),
            inputs=(*REGION_INPUTS, "erased_hash", CAPTION),
            run=score,
            settings=("crop_padding",),
            roles=("image_text_matcher",),
        ),
        _match("original"),
        at_least("caption_misfits", "original_match", "min_original_match", "a region caption does not fit its image"),
        _match("erased"),
        below("still_there", "erased_match", "max_erased_match", "what was erased is still to be seen"),
    ),
)
