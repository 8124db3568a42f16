"""Bounding boxes to captions: what each region shows in each image, then what the difference is."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, field_validator

from imgdiff_assets.common.aliases import Columns, Row
from imgdiff_assets.common.templates import fillable
from imgdiff_assets.method.agreement import agreement
from imgdiff_assets.method.kind import SIDES, kind_asked, kind_named
from imgdiff_assets.method.noun_phrases import statement
from imgdiff_assets.method.regions import BOX_COLUMNS
from imgdiff_assets.method.tasks import TASKS
from imgdiff_assets.stages.confirmation import STEPS as CONFIRMATION
from imgdiff_assets.stages.confirmation import ConfirmationSettings
from imgdiff_assets.stages.corrected import moved
from imgdiff_assets.stages.derived_items import TABLE as DERIVED
from imgdiff_assets.stages.differences import (
    DIFFERENCE_ASKED,
    EMPTY,
    INVERSION,
    PHRASES,
    REGION_CAPTIONS,
    SETTINGS,
    InversionSettings,
    NoAnswer,
    tell_apart,
)
from imgdiff_assets.stages.matches import HEADS, matches, planted_matches
from imgdiff_assets.stages.naming import NAMED, NamingSettings
from imgdiff_assets.stages.naming import STEPS as NAMING
from imgdiff_assets.stages.phrases import SpokenSettings, phrase_in, spoken, texts, told
from imgdiff_assets.stages.region_questions import REGION_ASKED, REGION_KIND, REGION_SETTINGS, ask_of_regions
from imgdiff_assets.stages.settings import left_out, off_unless_named
from imgdiff_assets.stages.stage import CORRECTIONS, Above, Stage
from imgdiff_assets.stages.steps import (
    Canaries,
    Derivation,
    Measurement,
    Work,
    at_least,
    below,
    cosine,
    share,
    unless_missing,
)
from imgdiff_assets.stages.witness import STEPS as WITNESS
from imgdiff_assets.stages.witness import WitnessStepSettings
from resources.images.crops import cut

ITEM_COLUMNS = ("region_id", "pair_id", "source_hash", "target_hash", "source_object", "target_object", "asked_kind")
REGION_INPUTS = ("region_id", "pair_id", "source_hash", "target_hash", *BOX_COLUMNS)


KIND_QUESTIONS = (REGION_ASKED, DIFFERENCE_ASKED)
"""What is asked of a region and of its difference for its kind; null is what the recipe asks."""

ENOUGH = 0.5
"""The least agreement of an answer that says what the region captions do, where the recipe asks for none."""


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

    kind_questions: dict[str, dict[str, str]] = left_out(
        {},
        "By kind of difference, what is asked of its regions in the place of the kind's own question, or of the "
        "recipe's: `asked_of_region` and `asked_of_difference`, as `region_question` and `difference_question`.",
    )
    naming: NamingSettings | None = off_unless_named(
        "A region's captions must name what its prompt pair says that differs: `{}` has it on."
    )
    composed: bool = left_out(
        False,
        "Whether a difference that the captioner does not tell as the region captions do is told anew, by a sentence "
        "made of these; without it such a region is rejected.",
    )

    inversion: InversionSettings | None = off_unless_named(
        "The difference is asked of the images in the other order too: `{}` has it on."
    )
    confirmation: ConfirmationSettings | None = off_unless_named(
        "The prompt rewriter is asked whether the difference caption is true: `{}` has it on."
    )

    witness: WitnessStepSettings | None = off_unless_named(
        "A second captioner is asked what the regions show, and must agree: `{}` has it on."
    )

    @field_validator("kind_questions")
    @classmethod
    def _kind_questions_can_be_asked(cls, by_kind: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
        for name, questions in by_kind.items():
            try:
                kind_named(name)
            except LookupError as error:
                raise ValueError(str(error)) from None
            if unknown := set(questions) - set(KIND_QUESTIONS):
                raise ValueError(f"{name}: there is no {min(unknown)!r}; there are {', '.join(KIND_QUESTIONS)}")
            if KIND_QUESTIONS[0] in questions:
                fillable(questions[KIND_QUESTIONS[0]], x1=0.0, y1=0.0, x2=1.0, y2=1.0, object="")
            if KIND_QUESTIONS[1] in questions:
                fillable(questions[KIND_QUESTIONS[1]], source_caption="", target_caption="")
        return by_kind

    @field_validator("region_question")
    @classmethod
    def _region_question_can_be_asked(cls, question: str) -> str:
        return fillable(question, x1=0.0, y1=0.0, x2=1.0, y2=1.0, object="")

    @field_validator("difference_question")
    @classmethod
    def _difference_question_can_be_asked(cls, question: str) -> str:
        return fillable(question, source_caption="", target_caption="")


def items(tables: Mapping[str, pa.Table], settings: Mapping[str, Any]) -> pa.Table:
    """Every region that has a box, found or drawn by a person, and what is asked of it that is not asked of any."""
    regions = tables["bounding_boxes"].select([*ITEM_COLUMNS, *BOX_COLUMNS, "kept"])
    regions = moved(regions.filter(pc.field("x1").is_valid()), tables[CORRECTIONS])
    kinds = regions["asked_kind"].to_pylist()
    for name, kind_has in zip(KIND_QUESTIONS, ("region_question", "difference_question"), strict=True):
        own = [settings["kind_questions"].get(kind, {}).get(name) for kind in kinds]
        asked = [
            question or getattr(kind_asked(kind), kind_has) or None for question, kind in zip(own, kinds, strict=True)
        ]
        regions = regions.append_column(name, pa.array(asked, pa.string()))
    return regions


def describe(rows: Sequence[Row], work: Work) -> list[Row | NoAnswer]:
    """One caption of the region in each image."""
    return ask_of_regions(rows, work, "captioner", REGION_CAPTIONS, work.settings)


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
    """Of what is told of whole images there is nothing to match, nor of an image that shows nothing."""
    crops, texts = [], []
    matched = [row for row in rows if not kind_asked(row["asked_kind"]).whole]
    for row in matched:
        box = [row[name] for name in BOX_COLUMNS]
        views = [cut(image, box, work.settings["crop_padding"]) for image in work.images(row["pair_id"])]
        crops += views if kind == "match" else views[::-1]
        texts += [row[name] for name in REGION_CAPTIONS]
    scores = iter(zip(*work.model("image_text_matcher").match(crops, texts), strict=True))
    results: list[Row] = []
    for row in rows:
        asked = kind_asked(row["asked_kind"])
        both = [(None, None)] * 2 if asked.whole else [next(scores), next(scores)]
        results.append(
            {
                f"{side}_{kind}_{head}": None if score is None or side not in asked.sides else float(score)
                for side, told in zip(SIDES, both, strict=True)
                for head, score in zip(HEADS, told, strict=True)
            }
        )
    return results


def _asks_of_the_other_side(recipe: Any) -> bool:
    return any(TASKS[name].mismatch for name in recipe.fine_tune_set.tasks)


def _stated(columns: Columns, settings: CaptionsSettings) -> np.ndarray:
    """The difference in the answer; where a recipe says so, made of the two phrases where that says otherwise."""
    language = settings.spoken
    stated = [statement(answer, language.phrases) for answer in columns["difference_caption"]]
    if settings.composed and language.sentences is not None:
        told_apart = language.sentences.told_apart
        rows = zip(stated, *(columns[name] for name in PHRASES), strict=True)
        limit = max(settings.min_agreement, ENOUGH)
        stated = [
            said
            if said is not None and agreement(said, source or "", target or "", language) >= limit
            else told_apart.format(source=source, target=target)
            for said, source, target in rows
        ]
    return texts(stated)


def _agreement(columns: Columns, settings: CaptionsSettings) -> np.ndarray:
    rows = zip(*(columns[name] for name in ("difference", *PHRASES)), strict=True)
    told = ((difference, source or EMPTY, target or EMPTY) for difference, source, target in rows)
    return np.array([agreement(*row, settings.spoken) for row in told], dtype=np.float64)


def _weaker_match(columns: Columns, settings: CaptionsSettings) -> np.ndarray:
    # Where only one image shows something, the other has no score.
    return np.fmin(*(columns[f"{side}_match_{settings.match_score}"] for side in SIDES))


NOTHING_TOLD = told("nothing_told", ("difference_caption",), ("difference",), "the captioner did not say what differs")


def _canary_nothing_told(settings: CaptionsSettings) -> Canaries:
    """Where it is told anew, there is no such region."""
    planted = NOTHING_TOLD.canaries(settings)
    return Canaries(planted.kept, []) if settings.composed else planted


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
    also=(DERIVED,),
    above=(Above("bounding_boxes", "region_id"),),
    section=CaptionsSettings,
    description=__doc__,
    item_columns=(
        *(pa.field(name, pa.string()) for name in ITEM_COLUMNS),
        *(pa.field(name, pa.float32()) for name in BOX_COLUMNS),
        *(pa.field(name, pa.string()) for name in KIND_QUESTIONS),
    ),
    items=items,
    item_settings=("kind_questions",),
    compared_texts=REGION_CAPTIONS,
    contents=contents,
    steps=(
        Measurement(
            name="describe",
            columns=tuple(pa.field(name, pa.string()) for name in REGION_CAPTIONS),
            inputs=(*REGION_INPUTS, "source_object", "target_object"),
            later_inputs=REGION_KIND,
            run=describe,
            settings=REGION_SETTINGS,
            roles=("captioner",),
            version=2,
        ),
        *(phrase_in(answer, name) for answer, name in zip(REGION_CAPTIONS, PHRASES, strict=True)),
        NAMED,
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
            later_inputs=("asked_kind",),
            run=match,
            settings=("crop_padding",),
            roles=("image_text_matcher",),
        ),
        Derivation(
            cosine("match"),
            tuple(f"{side}_match_{head}" for head in HEADS for side in ("source", "target")),
            _weaker_match,
        ),
        unless_missing(
            at_least(
                "caption_misfits", "match", "min_match", "a region caption does not fit its image", _canary_misfit
            )
        ),
        Measurement(
            name="tell_apart",
            columns=(pa.field("difference_caption", pa.string()),),
            inputs=(*REGION_INPUTS, *REGION_CAPTIONS),
            later_inputs=("asked_kind", KIND_QUESTIONS[1]),
            run=tell_apart,
            settings=SETTINGS,
            roles=("captioner",),
            version=2,
        ),
        Derivation(pa.field("difference", pa.string()), ("difference_caption", *PHRASES), _stated),
        replace(NOTHING_TOLD, canaries=_canary_nothing_told),
        spoken(("difference_caption",), "difference_in_other_language"),
        Derivation(share("agreement"), ("difference", *PHRASES), _agreement),
        at_least(
            "difference_disagrees",
            "agreement",
            "min_agreement",
            "the difference caption does not say what the region captions do",
        ),
        *NAMING,
        *INVERSION,
        *CONFIRMATION,
        *WITNESS,
        Measurement(
            name="mismatch",
            columns=matches("source_mismatch", "target_mismatch"),
            inputs=(*REGION_INPUTS, *REGION_CAPTIONS),
            later_inputs=("asked_kind",),
            run=mismatch,
            settings=("crop_padding",),
            roles=("image_text_matcher",),
            read=_asks_of_the_other_side,
        ),
    ),
)
