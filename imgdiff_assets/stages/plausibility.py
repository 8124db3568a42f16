"""Whether the pictures of a pair look right, as the verifier has it: scores of their own, off unless named."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from pydantic import Field

from imgdiff_assets.common.aliases import Columns, Row
from imgdiff_assets.stages.settings import StageSettings
from imgdiff_assets.stages.steps import (
    CANARY_MARGIN,
    Canaries,
    Derivation,
    Measurement,
    Work,
    at_least,
    share,
    unless_missing,
)

SECTION = "plausibility"
SCORES = ("source_plausibility", "target_plausibility", "pair_plausibility")
SCORE = "plausibility"


class PlausibilitySettings(StageSettings):
    """The verifier is asked whether each image, and the pair, looks right; `models.verifier` names it."""

    image_question: str = Field(
        "Does everything in this picture look right, with whole outlines, no part too many or missing, and no two "
        "things melted into each other? Answer with one word, yes or no.",
        description="Asked of each image, where the verifier reads questions.",
    )
    pair_question: str = Field(
        "The second picture was made of the first by replacing one thing. Do both look right, and alike everywhere "
        "else? Answer with one word, yes or no.",
        description="Asked of both images together, where the verifier reads several.",
    )
    min_plausibility: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Pairs with a lower score, of either image or of both together, are rejected: `implausible`. At 0 "
        "nothing is rejected; a pair of which the verifier tells nothing passes.",
    )
    agreement: str | None = Field(
        None,
        min_length=1,
        description="How far the verifier agrees with truth or with people: the figure, and where it was measured. "
        "Without it no verifier rejects anything, unless its figure is known here.",
    )


def verify(rows: Sequence[Row], work: Work) -> list[Row]:
    """The verifier's score of each image alone and of both together; null where it tells none."""
    one, both = work.settings["image_question"], work.settings["pair_question"]
    pairs = [work.images(row["pair_id"]) for row in rows]
    shown = [group for source, target in pairs for group in ([source], [target], [source, target])]
    scores = work.model("verifier").judge(shown, [one, one, both] * len(rows))
    return [dict(zip(SCORES, scores[start : start + 3], strict=True)) for start in range(0, len(scores), 3)]


def _least(columns: Columns, settings: Any) -> np.ndarray:
    """The least of the scores that there are."""
    return np.asarray(np.fmin.reduce([np.asarray(columns[name], dtype=np.float64) for name in SCORES]))


def _canaries(settings: PlausibilitySettings) -> Canaries:
    """Each score in turn is the one that is too low; a verifier of single pictures has none of both together."""
    limit = settings.min_plausibility
    if not limit:
        return Canaries([dict.fromkeys(SCORES, 0.0)], [])
    right: Row = dict.fromkeys(SCORES, limit)
    wrong = [{**right, name: limit - CANARY_MARGIN} for name in SCORES]
    return Canaries([right, {**right, SCORES[2]: None}], wrong)


STEPS = (
    Measurement(
        name="verify",
        columns=tuple(share(name) for name in SCORES),
        inputs=("pair_id", "source_hash", "target_hash"),
        run=verify,
        settings=("image_question", "pair_question"),
        roles=("verifier",),
        section=SECTION,
    ),
    Derivation(share(SCORE), SCORES, _least, section=SECTION),
    replace(
        unless_missing(at_least("implausible", SCORE, "min_plausibility", "it does not look right", _canaries)),
        section=SECTION,
    ),
)
