"""The captioner is asked what differs in a region: of source and target, and where a recipe says so turned round.

A captioner that looks answers inversely then; one that guesses, or always names the left one first, does not.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import Field

from imgdiff_assets.common.aliases import Columns, Row
from imgdiff_assets.common.errors import ImgDiffError
from imgdiff_assets.method.agreement import agreement
from imgdiff_assets.method.kind import kind_asked
from imgdiff_assets.method.noun_phrases import statement
from imgdiff_assets.method.regions import BAR_WIDTH, BOX_COLUMNS, draw_box, side_by_side
from imgdiff_assets.method.special_tokens import without_tokens
from imgdiff_assets.stages.settings import StageSettings
from imgdiff_assets.stages.steps import Derivation, Measurement, Work, at_least, share
from resources.images.crops import cut

REGION_CAPTIONS = ("source_region_caption", "target_region_caption")
PHRASES = ("source_phrase", "target_phrase")
DIFFERENCE_ASKED = "asked_of_difference"
"""The column of what is asked for a region's kind; null is what the recipe asks."""
EMPTY = "nothing"
"""What an image shows in whose region the captioner names no thing."""
SECTION = "inversion"
SETTINGS = ("difference_view", "difference_question", "crop_padding")


class InversionSettings(StageSettings):
    """What differs is asked of the two images in the other order too; the answers must be inverse."""

    min_inversion: float = Field(
        0.0,
        ge=0,
        le=1,
        description="How much of both region captions both answers must say, each of its own side in its own order: "
        "the weaker one counts. At 0 nothing is rejected.",
    )


class NoAnswer(ImgDiffError, ValueError):
    """The captioner said nothing, as no working one does: an error of the row, not a finding about it."""


def tidy(answer: str) -> str:
    """An answer on one line."""
    return " ".join(answer.split())


def tell_apart(rows: Sequence[Row], work: Work) -> list[Row | NoAnswer]:
    """The difference caption."""
    return _told("difference_caption", rows, work, {name: work.settings[name] for name in SETTINGS}, 1)


def tell_back(rows: Sequence[Row], work: Work) -> list[Row | NoAnswer]:
    """The difference caption of target and source."""
    settings = {name: work.settings[f"captions.{name}"] for name in SETTINGS}
    return _told("inverse_difference_caption", rows, work, settings, -1)


def _told(column: str, rows: Sequence[Row], work: Work, settings: dict[str, Any], order: int) -> list[Row | NoAnswer]:
    """What the captioner says of each region, shown source and target in this order: 1 as they are, -1 turned."""
    views, questions = [], []
    for row in rows:
        images = work.images(row["pair_id"])[::order]
        box = [row[name] for name in BOX_COLUMNS]
        if kind_asked(row["asked_kind"]).whole:
            crops = settings["difference_view"] == "crops"
            views.append(list(images) if crops else [side_by_side(images[0], images[1], BAR_WIDTH)])
        elif settings["difference_view"] == "crops":
            views.append([cut(image, box, settings["crop_padding"]) for image in images])
        else:
            left, right = (draw_box(image, box) for image in images)
            views.append([side_by_side(left, right, BAR_WIDTH)])
        said = [without_tokens(row[name]) for name in REGION_CAPTIONS][::order]
        captions = dict(zip(("source_caption", "target_caption"), said, strict=True))
        questions.append((row[DIFFERENCE_ASKED] or settings["difference_question"]).format(**captions))
    answers = [tidy(answer) for answer in work.model("captioner").answer(views, questions)]
    return [{column: answer} if answer else NoAnswer("the captioner named no difference") for answer in answers]


def _inversion(columns: Columns, settings: Any) -> np.ndarray:
    rows = zip(*(columns[name] for name in ("agreement", "inverse_difference_caption", *PHRASES)), strict=True)
    spoken = settings.spoken
    return np.array(
        [
            min(there, agreement(statement(back, spoken.phrases) or "", target or EMPTY, source or EMPTY, spoken))
            for there, back, source, target in rows
        ],
        dtype=np.float64,
    )


INVERSION = (
    Measurement(
        name="tell_back",
        columns=(pa.field("inverse_difference_caption", pa.string()),),
        inputs=("region_id", "pair_id", "source_hash", "target_hash", *BOX_COLUMNS, *REGION_CAPTIONS),
        later_inputs=("asked_kind", DIFFERENCE_ASKED),
        run=tell_back,
        settings=tuple(f"captions.{name}" for name in SETTINGS),
        roles=("captioner",),
        section=SECTION,
    ),
    Derivation(
        share(SECTION),
        ("agreement", "inverse_difference_caption", *PHRASES),
        _inversion,
        section=SECTION,
        of_stage=True,
    ),
    replace(
        at_least("not_inverse", SECTION, "min_inversion", "asked the other way round, the captioner says otherwise"),
        section=SECTION,
    ),
)
