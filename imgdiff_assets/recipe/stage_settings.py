"""The sections of the recipe that say how rows are measured and judged, one for each stage."""

import re
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from imgdiff_assets.method.box_text import Coordinates
from imgdiff_assets.method.tasks import QUESTION_FIELDS, TASKS, task_named


class StageSettings(BaseModel):
    """A section of the recipe. Immutable; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


Settings = TypeVar("Settings", bound=StageSettings)


def _ordered(settings: Settings, low: str, high: str) -> Settings:
    """Limits that nothing can meet would reject everything, silently."""
    if getattr(settings, low) > getattr(settings, high):
        raise ValueError(f"{low} is larger than {high}, so nothing could pass")
    return settings


def _template(text: str, **values: Any) -> str:
    """A template that cannot be filled would fail every row."""
    try:
        text.format(**values)
    except (LookupError, ValueError, AttributeError) as error:
        raise ValueError(f"cannot be filled ({error}); it may use {{{'}, {'.join(values)}}}") from None
    return text


class PromptPairsSettings(StageSettings):
    """Captions to pairs of captions that differ in one object."""

    attempts: int = Field(1, ge=1, le=100, description="Rewrites asked for per caption, each with its own seed.")
    keep_attempts: int = Field(
        100,
        ge=1,
        le=100,
        description="Of a caption's rewrites keep at most so many: the (replaced, replacing) pairs that were rarest "
        "when it was ingested (`imgdiff ingest --fill-gaps`, `automation.fill_gaps`) come first.",
    )
    max_words: int = Field(60, ge=1, description="Longer captions are rejected: image models read 77 tokens.")
    known_words: list[str] = Field([], description="If any: captions with other words are rejected, unmeasured.")
    answer_pattern: str = Field(
        r"(?s)(?P<caption>.+)", description="Regular expression; its group `caption` is the new caption in the answer."
    )
    task_phrases: list[str] = Field(
        ["replace", "replaced", "caption", "sentence", "instruction", "here is", "i have", "i will", "sorry"],
        description="A rewritten caption with one of these, unless the source has it too, talks about the task.",
    )
    max_object_words: int = Field(4, ge=1, description="More changed words in a row than this are not one object.")

    @field_validator("answer_pattern")
    @classmethod
    def _pattern_has_its_group(cls, pattern: str) -> str:
        try:
            groups = re.compile(pattern).groupindex
        except re.error as error:
            raise ValueError(f"is not a regular expression: {error}") from None
        if "caption" not in groups:
            raise ValueError("needs a group (?P<caption>...)")
        return pattern


class ImagePairsSettings(StageSettings):
    """Prompt pairs to image pairs."""

    compression: int = Field(6, ge=0, le=9, description="Effort of the lossless PNG compression; no effect on pixels.")


class FilteredPairsSettings(StageSettings):
    """Image pairs similar enough to compare and different enough to ask about: cosine of the two image vectors."""

    min_similarity: float = Field(0.90, ge=-1, le=1, description="Less similar pairs are rejected: `too_different`.")
    max_similarity: float = Field(0.98, ge=-1, le=1, description="More similar pairs are rejected: `too_similar`.")

    @model_validator(mode="after")
    def _some_pair_can_pass(self) -> "FilteredPairsSettings":
        return _ordered(self, "min_similarity", "max_similarity")


class BoundingBoxesSettings(StageSettings):
    """Where two images differ, and the difference is the named object."""

    min_area_fraction: float = Field(
        0.0025, ge=0, le=1, description="Smaller boxes are rejected (share of the image)."
    )
    max_area_fraction: float = Field(1.0, gt=0, le=1, description="Larger boxes are rejected (share of the image).")
    crop_padding: int = Field(0, ge=0, description="Pixels added around a box before its crop is scored.")
    max_region_similarity: float = Field(
        0.85, ge=-1, le=1, description="Boxes whose two crops are more alike (cosine) are rejected: `same_content`."
    )
    match_score: Literal["itc", "itm"] = Field(
        "itc", description="Contrastive cosine, or the matching head's probability."
    )
    match_rule: Literal["both", "either"] = Field(
        "either", description="Whether the object must be seen in its own image on both sides or on one."
    )
    min_match: float = Field(0.35, ge=-1, le=1, description="A crop that matches its object less does not show it.")
    max_overlap: float = Field(0.5, ge=0, le=1, description="Of boxes with a larger IoU the most different is kept.")
    max_boxes: int = Field(5, ge=1, description="Boxes kept per pair, most different first.")

    @model_validator(mode="after")
    def _some_box_can_pass(self) -> "BoundingBoxesSettings":
        return _ordered(self, "min_area_fraction", "max_area_fraction")


class CaptionsSettings(StageSettings):
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
        description="Share of the words of both region captions that the difference must name, in order.",
    )

    @field_validator("region_question")
    @classmethod
    def _region_question_can_be_asked(cls, question: str) -> str:
        return _template(question, x1=0.0, y1=0.0, x2=1.0, y2=1.0, object="")

    @field_validator("difference_question")
    @classmethod
    def _difference_question_can_be_asked(cls, question: str) -> str:
        return _template(question, source_caption="", target_caption="")


class RemovedPairsSettings(StageSettings):
    """Regions of images erased: each image with an object, and without it."""

    enabled: bool = Field(False, description="Whether regions are erased, and asked about in `which_image` samples.")
    min_area_fraction: float = Field(
        0.01, ge=0, le=1, description="Smaller boxes are not erased (share of the image)."
    )
    max_area_fraction: float = Field(0.5, gt=0, le=1, description="Larger boxes are not erased (share of the image).")
    max_overlap: float = Field(0.5, ge=0, le=1, description="Of boxes with a larger IoU the best proposal is erased.")
    max_candidates: int = Field(8, ge=1, description="Regions erased per image, best proposals first.")
    mask_padding: int = Field(5, ge=0, description="Pixels around a box that are painted over with it.")
    crop_padding: int = Field(0, ge=0, description="Pixels added around a box before its crops are compared.")
    max_erased_similarity: float = Field(
        0.90,
        ge=-1,
        le=1,
        description="Erasures whose crop is more like the original (cosine) are rejected: `not_erased`.",
    )
    max_regions: int = Field(3, ge=1, description="Erasures kept per image, most changed first.")

    @model_validator(mode="after")
    def _some_box_can_pass(self) -> "RemovedPairsSettings":
        return _ordered(self, "min_area_fraction", "max_area_fraction")


class RemovalCaptionsSettings(StageSettings):
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
        return _template(question, x1=0.0, y1=0.0, x2=1.0, y2=1.0)

    @model_validator(mode="after")
    def _one_image_shows_it(self) -> "RemovalCaptionsSettings":
        # Else a caption could fit the erased image better, and the answer would be the wrong way round.
        return _ordered(self, "max_erased_match", "min_original_match")


class FineTuneSetSettings(StageSettings):
    """Conversations over the two images, one or more tasks to a region or pair, with a split by caption."""

    tasks: list[str] = Field(
        ["difference"], min_length=1, description=f"What samples train; any of {', '.join(TASKS)}."
    )
    questions: dict[str, list[str]] = Field(
        {},
        validate_default=True,
        description="Wordings of a task's question, of which one is picked by the sample's seed; a task without an "
        "entry has its own. They may use {region} (the marked region), {subject} and {coordinates}.",
    )
    box_coordinates: Coordinates = Field(
        "fraction", description="How boxes are told: fractions of width and height, thousandths of them, or pixels."
    )
    min_match_margin: float = Field(
        0.05,
        ge=-2,
        le=2,
        description="An answer to `which_image` is rejected unless its image matches the text better by this much.",
    )
    min_same_similarity: float = Field(
        0.98,
        ge=-1,
        le=1,
        description="Pairs rejected as too similar, but less alike than this, are not called the same.",
    )
    validation_fraction: float = Field(0.05, ge=0, le=1, description="Share of captions whose samples validate.")
    min_validation_bits: int = Field(
        6,
        ge=0,
        le=64,
        description="A training pair whose perceptual hash differs in fewer of 64 bits from a validation image's is a "
        "near-duplicate. 0: none is.",
    )
    max_validation_similarity: float = Field(
        0.98,
        ge=-1,
        le=1.01,
        description="A training pair more alike (cosine) to a validation image is a near-duplicate. 1.01: none is.",
    )

    @field_validator("tasks")
    @classmethod
    def _tasks_are_known(cls, tasks: list[str]) -> list[str]:
        for name in tasks:
            task_named(name)
        return sorted(set(tasks), key=list(TASKS).index)

    @field_validator("questions")
    @classmethod
    def _questions_can_be_asked(cls, questions: dict[str, list[str]]) -> dict[str, list[str]]:
        for name, wordings in questions.items():
            task_named(name)
            if not wordings:
                raise ValueError(f"{name} needs at least one wording")
            for wording in wordings:
                _template(wording, **dict.fromkeys(QUESTION_FIELDS, ""))
        return {name: list(questions.get(name) or task.questions) for name, task in TASKS.items()}
