"""What stages that ask the captioner share: its answers as parts of sentences, and answers that are of no use."""

from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import field_validator

from imgdiff_assets.common.aliases import Booleans, Columns, Row
from imgdiff_assets.common.templates import matchable
from imgdiff_assets.method.language import DEFAULT_LANGUAGE, Language, is_of, language_named
from imgdiff_assets.method.noun_phrases import noun_phrase, unformed
from imgdiff_assets.stages.settings import StageSettings, left_out
from imgdiff_assets.stages.steps import Canaries, Derivation, Filter

NOTHING = "..."
"""An answer that names nothing in any language."""


class SpokenSettings(StageSettings):
    """The language in which the captioner is asked and answers."""

    language: str | None = left_out(
        None,
        "The language of the captioner's answers, as in `english`. Those in another are rejected; without it none is, "
        "and they are read as English ones.",
    )
    lead_ins: list[str] = left_out(
        [], "What answers begin with before they name a thing, as regular expressions, beside what the language lists."
    )

    @field_validator("language")
    @classmethod
    def _language_is_known(cls, language: str | None) -> str | None:
        return known_language(language)

    @field_validator("lead_ins")
    @classmethod
    def _lead_ins_can_be_matched(cls, lead_ins: list[str]) -> list[str]:
        return [matchable(pattern) for pattern in lead_ins]

    @property
    def spoken(self) -> Language:
        """The language's words and rules."""
        return language_named(self.language or DEFAULT_LANGUAGE)


def known_language(language: str | None) -> str | None:
    """For validators: a language that there is a file of."""
    try:
        return language and language_named(language).name
    except LookupError as error:
        raise ValueError(str(error)) from None


def phrase_in(answer: str, name: str) -> Derivation:
    """The column `name`: the noun phrase in the column `answer`, null where that names nothing."""

    def compute(columns: Columns, settings: Any) -> np.ndarray:
        rules, lead_ins = settings.spoken.phrases, tuple(settings.lead_ins)
        return texts(noun_phrase(text, rules, lead_ins) for text in columns[answer])

    return Derivation(pa.field(name, pa.string()), (answer,), compute)


def texts(values: Any) -> np.ndarray:
    """A column of texts, some of which may be None."""
    listed = list(values)
    column = np.empty(len(listed), dtype=object)
    column[:] = listed
    return column


def told(name: str, answers: tuple[str, ...], derived: tuple[str, ...], reason: str) -> Filter:
    """A filter that keeps the rows of which all `derived` columns, each made of one of `answers`, have a text."""

    def passes(columns: Columns, settings: Any) -> Booleans:
        all_told: Booleans = np.all([columns[text].astype(bool) for text in derived], axis=0)
        return all_told

    def canaries(settings: Any) -> Canaries:
        kept: Row = dict.fromkeys(answers, "a dog")
        return Canaries([kept], [{**kept, answer: NOTHING} for answer in answers])

    return Filter(name, derived, passes, reason, canaries)


def spoken(answers: tuple[str, ...], name: str = "other_language") -> Filter:
    """A filter that keeps the rows whose answers are in the recipe's language."""

    def passes(columns: Columns, settings: Any) -> Booleans:
        rows = zip(*(columns[answer] for answer in answers), strict=True)
        return np.array(
            [not settings.language or all(is_of(unformed(text), settings.spoken) for text in row) for row in rows]
        )

    def canaries(settings: Any) -> Canaries:
        own = " ".join(sorted(settings.spoken.common)) or "一只狗"
        kept: Row = dict.fromkeys(answers, own)
        return Canaries([kept], [{**kept, answer: "собака на диване"} for answer in answers if settings.language])

    return Filter(name, answers, passes, "the captioner answered in another language", canaries)
