"""How right an answer is: what code can judge by rewards, differences by what both sides show, other texts by words.

A task of lmms-eval has a copy of this file and of what it imports, which may be nothing but strings.
"""

from collections import Counter
from typing import Protocol

from imgdiff_assets.export.reward import TASKS as REWARDED
from imgdiff_assets.export.reward import answered, reward, solution_of
from imgdiff_assets.method.agreement import agreement
from imgdiff_assets.method.caption_edit import words
from imgdiff_assets.method.language import Language, language_named, language_names, sentences_in


class Asked(Protocol):
    """What a score needs of a question; `seen` as in `held_out.Item`."""

    @property
    def task(self) -> str: ...
    @property
    def question(self) -> str: ...
    @property
    def answer(self) -> str: ...
    @property
    def seen(self) -> tuple[str, str] | None: ...


def score(item: Asked, said: str) -> float:
    """How right an answer is, 0 to 1."""
    if item.task in REWARDED:
        return reward(said, solution_of(item.task, item.answer))
    text = answered(said)
    if text is None:
        return 0.0
    if item.task == "difference" and item.seen is not None:
        return agreement(text, *item.seen, _language(item.question))
    return overlap(text, item.answer)


def _language(question: str) -> Language:
    spoken = sentences_in(question)
    return next(language for name in language_names() if (language := language_named(name)).sentences is spoken)


def overlap(said: str, right: str) -> float:
    """F1 of the words of two texts; of two lists, of several lines, of their entries."""
    if "\n" in right.strip():
        return _f1(Counter(_entries(said)), Counter(_entries(right)))
    return _f1(Counter(words(said)), Counter(words(right)))


def _entries(text: str) -> list[str]:
    """The lines of a list without their numbers and dashes, as words; each once."""
    entries = [" ".join(words(line.lstrip(" -*•0123456789.)("))) for line in text.splitlines()]
    return list(dict.fromkeys(filter(None, entries)))


def _f1(said: Counter[str], right: Counter[str]) -> float:
    common = (said & right).total()
    return 2 * common / (said.total() + right.total()) if common else 0.0
