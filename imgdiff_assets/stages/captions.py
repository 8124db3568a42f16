"""Bounding boxes to captions: what each region shows in each image, then what the difference is."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, field_validator

from imgdiff_assets.common.aliases import Columns, Row
from imgdiff_assets.common.templates import fillable
from imgdiff_assets.method.agreement import agreement
from imgdiff_assets.method.noun_phrases import statement
from imgdiff_assets.method.regions import BOX_COLUMNS
from imgdiff_assets.method.special_tokens import without_tokens
from imgdiff_assets.stages.confirmation import STEPS as CONFIRMATION
from imgdiff_assets.stages.confirmation import ConfirmationSettings
from imgdiff_assets.stages.corrected import moved
from imgdiff_assets.stages.differences import (
    INVERSION,
    PHRASES,
    REGION_CAPTIONS,
    SETTINGS,
    InversionSettings,
    NoAnswer,
    tell_apart,
    tidy,
)
from imgdiff_assets.stages.matches import HEADS, matches, planted_matches
from imgdiff_assets.stages.phrases import SpokenSettings, phrase_in, spoken, texts, told
from imgdiff_assets.stages.settings import off_unless_named
from imgdiff_assets.stages.stage import CORRECTIONS, Above, Stage
from imgdiff_assets.stages.steps import Canaries, Derivation, Measurement, Work, at_least, below, cosine, share
from resources.images.crops import cut

ITEM_COLUMNS = ("region_id", "pair_id", "source_hash", "target_hash", "source_object", "target_object")
REGION_INPUTS = ("region_id", "pair_id", "source_hash", "target_hash", *BOX_COLUMNS)


class CaptionsSettings(SpokenSettings):
    """What each region shows in each image, then what the difference is."""

    region_view: Literal["crop", "full"] = Field(
        "full", description="Show the captioner the region's crop, or the whole image with the box in the question."
    )
    region_question: str = Field(
        "Describe in one short sentence the object inside the box with the normalised corners "
        "[{x1:.2f}, {y1:.2f}, {x2:.2f}, {y2:.2f}].",
        description="May use {x1} {y1} {x2} {y2} (fractions of width and height) and {object}.",
    )
    crop_padding: int = Field(5, ge=0, description="Pixels added around a box before its crop is captioned or scored.")
    max_caption_similarity: float = Field(
        0.85,
        ge=-1,
        le=1,
        description="Region captions more alike than this (text cosine) are rejected: `captions_alike`.",
    )
    match_score: Literal["itc", "itm"] = Field(
        "itc", description="Contrastive cosine, or the matching head's probability."
    )
    min_match: float = Field(
        0.40, ge=-1, le=1, description="A caption must fit its crop at least this well, each side."
    )
    difference_view: Literal["crops", "side_by_side"] = Field(
        "side_by_side", description="Two crops, or both images in one picture with a bar between and the box in red."
    )
    difference_question: str = Field(
        "The left and the right picture are nearly the same. In the red box the left one shows: {source_caption} "
        "The right one shows: {target_caption} Say in one or two sentences how the right box differs from the left.",
        description="May use {source_caption} and {target_caption}.",
    )
    min_agreement: float = Field(
        0.0,
        ge=0,
        le=1,
        description="How much of both region captions the difference must say, each of its own side; what it says "
        "against them takes most of the score away.",
    )

    inversion: InversionSettings | None = off_unless_named(
        "The difference is asked of the images in the other order too: `{}` has it on."
    )
    confirmation: ConfirmationSettings | None = off_unless_named(
        "The prompt rewriter is asked whether the difference caption is true: `{}` has it on."
    )

    @field_validator("region_question")
    @classmethod
    def _region_question_can_be_asked(cls, question: str) -> str:
        return fillable(question, x1=0.0, y1=0.0, x2=1.0, y2=1.0, object="")

    @field_validator("difference_question")
    @classmethod
    def _difference_question_can_be_asked(cls, question: str) -> str:
        return fillable(question, source_caption="", target_caption="")


def items(tables: Mapping[str, pa.Table], settings: Mapping[str, Any]) -> pa.Table:
    """Every region that has a box: the one that was found, or that a person drew instead."""
    regions = tables["bounding_boxes"].select([*ITEM_COLUMNS, *BOX_COLUMNS, "kept"])
    return moved(regions.filter(pc.field("x1").is_valid()), tables[CORRECTIONS])


def describe(rows: Sequence[Row], work: Work) -> list[Row | NoAnswer]:
    """One caption of the region in each image."""
    settings = work.settings
    views, questions = [], []
    for row in rows:
        for image, name in zip(work.images(row["pair_id"]), (row["source_object"], row["target_object"]), strict=True):
            height, width = image.shape[:2]
            x1, y1, x2, y2 = (row[corner] for corner in BOX_COLUMNS)
            box = {"x1": x1 / width, "y1": y1 / height, "x2": x2 / width, "y2": y2 / height}
            views.append(
                [
                    image
                    if settings["region_view"] == "full"
                    else cut(image, (x1, y1, x2, y2), settings["crop_padding"])
                ]
            )
            questions.append(settings["region_question"].format(**box, object=without_tokens(name or "object")))
    answers = [tidy(answer) for answer in work.model("captioner").answer(views, questions)]
    results: list[Row | NoAnswer] = []
    for both in zip(answers[0::2], answers[1::2], strict=True):
        silent = [image for image, answer in zip(("source", "target"), both, strict=True) if not answer]
        said = dict(zip(REGION_CAPTIONS, both, strict=True))
        results.append(
            NoAnswer(f"the captioner said nothing about the {' and the '.join(silent)} image") if silent else said
        )
    return results


def compare(rows: Sequence[Row], work: Work) -> list[Row]:
    """Cosine of the two captions' vectors."""
    texts = [row[name] for row in rows for name in REGION_CAPTIONS]
    vectors = work.model("image_text_encoder").encode_texts(texts)
    return [{"caption_similarity": float(value)} for value in np.sum(vectors[0::2] * vectors[1::2], axis=1)]


def match(rows: Sequence[Row], work: Work) -> list[Row]:
    """How well each caption fits its crop."""
    return _match(rows, work, "match")


def mismatch(rows: Sequence[Row], work: Work) -> list[Row]:
    """How well each caption fits the other image's crop, which it was not written of."""
    return _match(rows, work, "mismatch")


def _match(rows: Sequence[Row], work: Work, kind: Literal["match", "mismatch"]) -> list[Row]:
    crops, texts = [], []
    for row in rows:
        box = [row[name] for name in BOX_COLUMNS]
        views = [cut(image, box, work.settings["crop_padding"]) for image in work.images(row["pair_id"])]
        crops += views if kind == "match" else views[::-1]
        texts += [row[name] for name in REGION_CAPTIONS]
    itc, itm = work.model("image_text_matcher").match(crops, texts)
    return [
        {
            f"source_{kind}_itc": float(itc[index]),
            f"target_{kind}_itc": float(itc[index + 1]),
            f"source_{kind}_itm": float(itm[index]),
            f"target_{kind}_itm": float(itm[index + 1]),
        }
        for index in range(0, 2 * len(rows), 2)
    ]


def _stated(columns: Columns, settings: CaptionsSettings) -> np.ndarray:
    return texts(statement(answer, settings.spoken.phrases) for answer in columns["difference_caption"])


def _agreement(columns: Columns, settings: CaptionsSettings) -> np.ndarray:
    rows = zip(*(columns[name] for name in ("difference", *PHRASES)), strict=True)
    return np.array([agreement(*row, settings.spoken) for row in rows], dtype=np.float64)


def _weaker_match(columns: Columns, settings: CaptionsSettings) -> np.ndarray:
    return np.minimum(*(columns[f"{side}_match_{settings.match_score}"] for side in ("source", "target")))


def _canary_misfit(settings: CaptionsSettings) -> Canaries:
    return planted_matches(settings.match_score, settings.min_match, both=True)


def contents(row: Mapping[str, Any]) -> list[str]:
    """What was said of the region, and of the difference."""
    difference = row["difference_caption"]
    return [
        f"{row['source_region_caption']} → {row['target_region_caption']}",
        f"difference: {difference}" if difference else "",
    ]


STAGE = Stage(
    name="captions",
    id_column="region_id",
    parents=("bounding_boxes", "image_pairs", CORRECTIONS),
    above=(Above("bounding_boxes", "region_id"),),
    section=CaptionsSettings,
    description=__doc__,
    item_columns=(
        *(pa.field(name, pa.string()) for name in ITEM_COLUMNS),
        *(pa.field(name, pa.float32()) for name in BOX_COLUMNS),
    ),
    items=items,
    compared_texts=REGION_CAPTIONS,
    contents=contents,
    steps=(
        Measurement(
            name="describe",
            columns=tuple(pa.field(name, pa.string()) for name in REGION_CAPTIONS),
            inputs=(*REGION_INPUTS, "source_object", "target_object"),
            run=describe,
            settings=("region_view", "region_question", "crop_padding"),
            roles=("captioner",),
            version=2,
        ),
        *(phrase_in(answer, name) for answer, name in zip(REGION_CAPTIONS, PHRASES, strict=True)),
        told("nothing_named", REGION_CAPTIONS, PHRASES, "the captioner named nothing that the region shows"),
        spoken(REGION_CAPTIONS),
        Measurement(
            name="compare",
            columns=(cosine("caption_similarity"),),
            inputs=REGION_CAPTIONS,
            run=compare,
            roles=("image_text_encoder",),
        ),
        below(
            "captions_alike",
            "caption_similarity",
            "max_caption_similarity",
            "the region's two captions mean the same",
        ),
        # The dear model last: it reads only what the cheap one left.
        Measurement(
            name="match",
            columns=matches("source_match", "target_match"),
            inputs=(*REGION_INPUTS, *REGION_CAPTIONS),
            run=match,
            settings=("crop_padding",),
            roles=("image_text_matcher",),
        ),
        Derivation(
            cosine("match"),
            tuple(f"{side}_match_{head}" for head in HEADS for side in ("source", "target")),
            _weaker_match,
        ),
        at_least("caption_misfits", "match", "min_match", "a region caption does not fit its image", _canary_misfit),
        Measurement(
            name="tell_apart",
            columns=(pa.field("difference_caption", pa.string()),),
            inputs=(*REGION_INPUTS, *REGION_CAPTIONS),
            run=tell_apart,
            settings=SETTINGS,
            roles=("captioner",),
            version=2,
        ),
        Derivation(pa.field("difference", pa.string()), ("difference_caption",), _stated),
        told("nothing_told", ("difference_caption",), ("difference",), "the captioner did not say what differs"),
        spoken(("difference_caption",), "difference_in_other_language"),
        Derivation(share("agreement"), ("difference", *PHRASES), _agreement),
        at_least(
            "difference_disagrees",
            "agreement",
            "min_agreement",
            "the difference caption does not say what the region captions do",
        ),
        *INVERSION,
        *CONFIRMATION,
        Measurement(
            name="mismatch",
            columns=matches("source_mismatch", "target_mismatch"),
            inputs=(*REGION_INPUTS, *REGION_CAPTIONS),
            run=mismatch,
            settings=("crop_padding",),
            roles=("image_text_matcher",),
        ),
    ),
)
