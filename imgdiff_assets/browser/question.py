"""What the gallery is asked: which rows of a stage, in which order; read from an address, and written into one."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from imgdiff_assets.browser.joins import scores_of
from imgdiff_assets.stages.graph import SAMPLES, STAGE_NAMES, stage_named

VERDICTS = ("kept", "rejected", "all")
SPLITS = ("train", "validation")
REVIEWS = ("accept", "reject", "none")
LEDGER_ORDER = ""
LONGEST_TEXT = 200


class BadQuestion(ValueError):
    """Something in the address that cannot be asked; the message says what can."""


@dataclass(frozen=True, slots=True)
class Question:
    """Which rows of a stage, in which order. Empty text means no condition; the order is the ledger's, or a score's.

    `after` and `before` name the row that the page follows or precedes: its place in the order, and its id.
    """

    stage: str = SAMPLES
    verdict: str = "kept"
    reason: str = ""
    shard: str = ""
    object: str = ""
    split: str = ""
    review: str = ""
    score: str = ""
    low: float | None = None
    high: float | None = None
    sort: str = LEDGER_ORDER
    descending: bool = False
    after: str = ""
    before: str = ""

    def address(self, **changes: Any) -> str:
        """The gallery's address of this question with some values changed; on the first page unless told."""
        question = replace(self, **{"after": "", "before": "", **changes})
        values = {name: getattr(question, name) for name in Question.__dataclass_fields__}
        values["descending"] = "1" if question.descending else ""
        defaults = {"verdict": "kept"}
        return "/gallery?" + urlencode(
            {name: value for name, value in values.items() if value not in (None, "", defaults.get(name))}
        )


def read_question(values: Mapping[str, str]) -> Question:
    """The question that an address asks. Raises BadQuestion."""
    unknown = sorted(set(values) - set(Question.__dataclass_fields__))
    if unknown:
        raise BadQuestion(f"{unknown[0]} is not something to filter by")
    text = {name: value.strip() for name, value in values.items() if value.strip()}
    if any(len(value) > LONGEST_TEXT for value in text.values()):
        raise BadQuestion(f"a value has at most {LONGEST_TEXT} characters")
    stage = _one_of("stage", text.get("stage", SAMPLES), STAGE_NAMES)
    scores = list(scores_of(stage_named(stage)))
    return Question(
        stage=stage,
        verdict=_one_of("verdict", text.get("verdict", "kept"), VERDICTS),
        reason=text.get("reason", ""),
        shard=text.get("shard", ""),
        object=text.get("object", ""),
        split=_one_of("split", text.get("split", ""), ("", *SPLITS)),
        review=_one_of("review", text.get("review", ""), ("", *REVIEWS)),
        score=_one_of("score", text.get("score", ""), ("", *scores)),
        low=_number("low", text.get("low")),
        high=_number("high", text.get("high")),
        sort=_one_of("sort", text.get("sort", LEDGER_ORDER), (LEDGER_ORDER, *scores)),
        descending=bool(text.get("descending")),
        after=text.get("after", ""),
        before=text.get("before", ""),
    )


def _one_of(name: str, value: str, known: tuple[str, ...] | list[str]) -> str:
    if value not in known:
        raise BadQuestion(f"{name}: {value!r} is none of {', '.join(filter(None, known))}")
    return value


def _number(name: str, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        raise BadQuestion(f"{name}: {text!r} is not a number") from None
