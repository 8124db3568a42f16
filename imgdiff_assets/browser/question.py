"""What the gallery is asked: which rows of a stage, in which order; read from an address, and written into one."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any
from urllib.parse import urlencode

from imgdiff_assets.browser.joins import NOWHERE, first_with, scores_of
from imgdiff_assets.common.errors import ImgDiffError
from imgdiff_assets.common.hashing import ID_LENGTH
from imgdiff_assets.method.tasks import TASKS
from imgdiff_assets.stages.graph import SAMPLES, STAGE_NAMES, stage_named

VERDICTS = ("kept", "rejected", "all")
SPLITS = ("train", "validation")
REVIEWS = ("accept", "reject", "none")
LEDGER_ORDER = ""
LONGEST_TEXT = 200
LONGEST_AREA = 1000
COLUMNS = {"task": "task", "kind": "change_kind", "split": "split", "review": "review", "object": "source_object"}
"""What rows of some stages alone can be asked by, and the column that it is."""


class BadQuestion(ImgDiffError, ValueError):
    """Something in the address that cannot be asked; the message says what can."""


@dataclass(frozen=True, slots=True)
class Question:
    """Which rows of a stage, in which order. Empty text means no condition; the order is the ledger's, or a score's.

    Of no `verdict`, kept rows are meant; with a `reason`, those that it rejected. `text` are words that captions,
    question or answer have, all of them. `like` is a pair: then rows of pairs that look like it, nearest first
    unless a score sorts them; `area` is a part of the map. `after` and `before` name the row that the page follows or
    precedes: its place in the order, and its id.
    """

    stage: str = SAMPLES
    verdict: str = ""
    reason: str = ""
    shard: str = ""
    task: str = ""
    kind: str = ""
    text: str = ""
    object: str = ""
    split: str = ""
    review: str = ""
    tag: str = ""
    like: str = ""
    area: str = ""
    score: str = ""
    low: float | None = None
    high: float | None = None
    sort: str = LEDGER_ORDER
    descending: bool = False
    after: str = ""
    before: str = ""

    @property
    def wanted(self) -> str:
        """The verdict that is meant."""
        return self.verdict or ("rejected" if self.reason else "kept")

    def address(self, **changes: Any) -> str:
        """The gallery's address of this question with some values changed; on the first page unless told."""
        return f"/gallery?{self.query(**changes)}"

    def query(self, **changes: Any) -> str:
        """The question as an address ends with it."""
        return urlencode(self.values(**changes))

    def values(self, **changes: Any) -> dict[str, Any]:
        """The same as fields of a form."""
        question = replace(self, **{"after": "", "before": "", **changes})
        values = {name: getattr(question, name) for name in Question.__dataclass_fields__}
        values["descending"] = "1" if question.descending else ""
        if question.verdict == replace(question, verdict="").wanted:
            values["verdict"] = ""
        return {name: value for name, value in values.items() if value not in (None, "")}

    def contradictions(self, reasons: Collection[str]) -> Iterator[tuple[str, str]]:
        """Why no row can be like that, or what asks nothing; each with the address of the question without it.

        `reasons` are those of the stage.
        """
        stage = stage_named(self.stage)
        if self.reason and self.verdict == "kept":
            yield f"What {self.reason} rejected is not kept.", self.address(verdict="")
        if self.reason and self.reason not in reasons:
            yield f"{self.reason} rejects no row of {self.stage}.", self.address(reason="", verdict=self.wanted)
        if self.low is not None and self.high is not None and self.low >= self.high:
            yield f"No score is at least {self.low:g} and below {self.high:g}.", self.address(low=None, high=None)
        if not self.score and (self.low, self.high) != (None, None):
            yield "Which score is to lie between these limits is not said.", self.address(low=None, high=None)
        for name, column in COLUMNS.items():
            if getattr(self, name) and first_with(stage, column) == NOWHERE:
                yield f"A row of {self.stage} has no {name}.", self.address(**{name: ""})


def read_question(values: Mapping[str, str]) -> Question:
    """The question that an address asks. Raises BadQuestion."""
    unknown = sorted(set(values) - set(Question.__dataclass_fields__))
    if unknown:
        raise BadQuestion(f"{unknown[0]} is not something to filter by")
    text = {name: value.strip() for name, value in values.items() if value.strip()}
    if any(len(value) > LONGEST_TEXT for name, value in text.items() if name != "area"):
        raise BadQuestion(f"a value has at most {LONGEST_TEXT} characters")
    stage = _one_of("stage", text.get("stage", SAMPLES), STAGE_NAMES)
    scores = list(scores_of(stage_named(stage)))
    return Question(
        stage=stage,
        verdict=_one_of("verdict", text.get("verdict", ""), ("", *VERDICTS)),
        reason=text.get("reason", ""),
        shard=text.get("shard", ""),
        task=_one_of("task", text.get("task", ""), ("", *TASKS)),
        kind=text.get("kind", ""),
        text=text.get("text", ""),
        object=text.get("object", ""),
        split=_one_of("split", text.get("split", ""), ("", *SPLITS)),
        review=_one_of("review", text.get("review", ""), ("", *REVIEWS)),
        tag=text.get("tag", ""),
        like=_id(text.get("like", "")),
        area=_area(text.get("area", "")),
        score=_one_of("score", text.get("score", ""), ("", *scores)),
        low=read_number("low", text.get("low")),
        high=read_number("high", text.get("high")),
        sort=_one_of("sort", text.get("sort", LEDGER_ORDER), (LEDGER_ORDER, *scores)),
        descending=bool(text.get("descending")),
        after=text.get("after", ""),
        before=text.get("before", ""),
    )


def _one_of(name: str, value: str, known: tuple[str, ...] | list[str]) -> str:
    if value not in known:
        raise BadQuestion(f"{name}: {value!r} is none of {', '.join(filter(None, known))}")
    return value


def _id(value: str) -> str:
    if value and not re.fullmatch(f"[0-9a-f]{{{ID_LENGTH}}}", value):
        raise BadQuestion(f"like: {value!r} is no id")
    return value


def _area(value: str) -> str:
    if value and not (len(value) <= LONGEST_AREA and re.fullmatch(r"(-?[0-9]{1,6},){5,}-?[0-9]{1,6}", value)):
        raise BadQuestion(f"area: {value[:40]!r} is no polygon of three corners or more, in thousandths of the map")
    if value.count(",") % 2 == 0 and value:
        raise BadQuestion("area: its last corner is half a corner")
    return value


def read_number(name: str, text: str | None) -> float | None:
    """Raises BadQuestion for what is no finite number."""
    if text is None:
        return None
    try:
        value = float(text)
        if not isfinite(value):
            raise ValueError(text)
        return value
    except ValueError:
        raise BadQuestion(f"{name}: {text!r} is not a number") from None
