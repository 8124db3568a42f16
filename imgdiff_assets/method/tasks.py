"""What samples train: each task makes, from what the ledger knows of a region or a pair, one question and its answer.

A task is a function of what is known and of which image is shown first; it asks no model. With the images the other
way round it gives the answer for that order: `flip` says how the two are related.
"""

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imgdiff_assets.common.aliases import Row
from imgdiff_assets.common.errors import ImgDiffError
from imgdiff_assets.method.caption_edit import joined, words
from imgdiff_assets.method.change import OBJECT
from imgdiff_assets.method.conversations import sentence
from imgdiff_assets.method.kind import OBJECT_REPLACED, kind_asked
from imgdiff_assets.method.language import (
    DEFAULT_LANGUAGE,
    Language,
    Sentences,
    language_named,
    sentences_of,
    spoken_sentences,
)
from imgdiff_assets.method.noun_phrases import begun, is_determiner, is_noun_phrase
from imgdiff_assets.method.special_tokens import without_tokens
from imgdiff_assets.method.task import Task
from resources.installed import offers

SAME = frozenset(sentences.same for sentences in spoken_sentences())
"""What is answered, in any language, where two images show the same."""
LETTERS = ("A", "B")
SIDES = ("source", "target")
MOST_WORDS_BEFORE = 3
CONNECTING = frozenset(
    ["and", "or", "with", "on", "in", "of", "at", "to", "by", "near", "from", "for", "over", "under", "is", "are"]
)
"""Words that end one phrase and begin another."""
EDGES = ' .,;:!?"“”'


def other(side: str) -> str:
    """The other of the two images."""
    return SIDES[1 - SIDES.index(side)]


def ask_difference(known: Mapping[str, Any], first: str) -> Row | None:
    """The difference, which speaks of the source as the left image."""
    return {"subject": None, "answer": sentence(known["difference"])}


def ask_differences(known: Mapping[str, Any], first: str) -> Row | None:
    """All differences of the pair, where there are several: a numbered list, each with its box."""
    told = known.get("differences") or ()
    listed = [f"{number}. {sentence(each['difference'])} {each['box_text']}" for number, each in enumerate(told, 1)]
    return {"subject": None, "answer": "\n".join(listed)} if len(listed) > 1 else None


def _shown(known: Mapping[str, Any]) -> tuple[str, ...]:
    """The images that show something of what differs."""
    return kind_asked(known.get("asked_kind")).sides


def ask_which_image(known: Mapping[str, Any], first: str) -> Row | None:
    """Which image shows what one of the two region captions names; `about` is the side that it was written of."""
    about = known["about"]
    if about not in _shown(known) or kind_asked(known.get("asked_kind")).whole:
        return None
    return {"subject": known[f"{about}_phrase"], "answer": LETTERS[first != about]}


def ask_same_or_different(known: Mapping[str, Any], first: str) -> Row | None:
    """Whether the two images show the same: they do when the pair was rejected as too similar."""
    sentences = _sentences(known)
    return {"subject": None, "answer": sentences.same if known["too_similar"] else sentences.different}


def ask_grounding(known: Mapping[str, Any], first: str) -> Row | None:
    """Where in both images the one shows this and the other that; the answer is the region's box."""
    if len(_shown(known)) < len(SIDES) or kind_asked(known.get("asked_kind")).everywhere:
        return None
    shown = {"first": known[f"{first}_phrase"], "second": known[f"{other(first)}_phrase"]}
    return {"subject": _sentences(known).both_shown.format(**shown), "answer": known["box_text"]}


def ask_edit_instruction(known: Mapping[str, Any], first: str) -> Row | None:
    """The edit that makes the second image of the first: one object replaced by another, or what the kind changes.

    Where the instruction was said by what is seen, from source to target, that.
    """
    if first == "source" and (seen := known.get("seen_instruction")):
        return {"subject": None, "answer": seen}
    if known.get("asked_kind") not in (None, OBJECT_REPLACED):
        old, new = (known[f"{side}_object"] for side in (first, other(first)))
        if not old or not new:
            phrase = known[f"{_shown(known)[0]}_phrase"]
            form = _sentences(known).added if new else _sentences(known).removed
            return {"subject": None, "answer": form.format(old=_sentences(known).definite(phrase), new=phrase)}
        return {"subject": None, "answer": _sentences(known).changed.format(old=old, new=new)}
    parts = _compared(known, first)
    if parts is None:
        return None
    old, new = _sentences(known).definite(parts.phrases[0]), parts.phrases[1]
    return {"subject": None, "answer": _sentences(known).replaced.format(old=old, new=new)}


def ask_commonality(known: Mapping[str, Any], first: str) -> Row | None:
    """What both images show: the words that the two captions share, and something in the place of the rest."""
    parts, sentences, language = _compared(known, "source"), _sentences(known), _language(known)
    if parts is None or len({*parts.before, *parts.after} - language.articles) < 2:
        return None
    shown = _joined([*parts.before, sentences.something, *parts.after], language)
    form = sentences.in_common if is_noun_phrase(shown, language.phrases) else sentences.in_common_quoted
    return {"subject": None, "answer": form.format(shown=shown)}


def _language(known: Mapping[str, Any]) -> Language:
    return language_named(known.get("language") or DEFAULT_LANGUAGE)


def _sentences(known: Mapping[str, Any]) -> Sentences:
    return sentences_of(_language(known))


@dataclass(frozen=True, slots=True)
class _Compared:
    """The words both captions begin with, the phrase of each that differs, and the words both end with."""

    before: list[str]
    phrases: tuple[str, str]
    after: list[str]


def _compared(known: Mapping[str, Any], first: str) -> _Compared | None:
    """The captions compared, the one of the first image first; None where no object was replaced by another.

    What differs is widened to the named objects, so that "wine glass" is not torn apart, and to where their phrases
    begin: at the nearest article of the few words before, or where a number or an adjective stands.
    """
    language = _language(known)
    captions = [_tokens(known[f"{side}_caption"], language) for side in (first, other(first))]
    keys = [[joined(words(token)) for token in caption] for caption in captions]
    shortest = min(map(len, keys))
    start = next((index for index in range(shortest) if keys[0][index] != keys[1][index]), shortest)
    end = next((n for n in range(shortest - start) if keys[0][-1 - n] != keys[1][-1 - n]), shortest - start)
    differing = [key[start : len(key) - end] for key in keys]
    if known.get("change_kind") not in (None, OBJECT) or _is_no_object(differing, language):
        return None
    for key, side in zip(keys, (first, other(first)), strict=True):
        named = words(known.get(f"{side}_object") or "")
        for place in range(len(key) - len(named) + 1 if named else 0):
            if key[place : place + len(named)] == named and place <= start <= len(key) - end <= place + len(named):
                start, end = min(start, place), min(end, len(key) - place - len(named))
    start = _phrase_start(keys[0], start, language)
    old, new = (_joined(caption[start : len(caption) - end], language).strip(EDGES) for caption in captions)
    if not old or not new:
        return None
    before, after = captions[0][:start], captions[0][len(captions[0]) - end :]
    return _Compared(before, (old, _with_article(new, language)), after)


def _tokens(caption: str, language: Language) -> list[str]:
    """The words of a caption with the punctuation around them."""
    text = begun(without_tokens(caption).strip(EDGES), language.phrases)
    return [token for token in (text.split() if language.spaces else words(text)) if words(token)]


def _joined(tokens: Sequence[str], language: Language) -> str:
    return " ".join(tokens) if language.spaces else joined(tokens)


def _is_no_object(differing: Sequence[Sequence[str]], language: Language) -> bool:
    """Whether a colour, a number, a place or what is done was replaced, or something only added."""
    qualities = frozenset().union(*language.kinds.values())
    done = tuple(language.verb_endings) or ("\0",)
    return not all(differing) or any(
        all(word in qualities or (len(differing[0]) == len(run) == 1 and word.endswith(done)) for word in run)
        for run in differing
    )


def _phrase_start(caption: Sequence[str], start: int, language: Language) -> int:
    """The place of the nearest article, unless another phrase lies between; else of words that qualify the next."""
    for index in range(min(start, len(caption) - 1), max(start - 1 - MOST_WORDS_BEFORE, -1), -1):
        if caption[index] in language.articles:
            return index
        if index < start and caption[index] in CONNECTING:
            break
    qualities = language.kinds.get("attribute", frozenset()) | language.kinds.get("count", frozenset())
    while start and (caption[start - 1] in qualities or is_determiner(caption[start - 1], language.phrases)):
        start -= 1
    return start


def _with_article(phrase: str, language: Language) -> str:
    """With the right article of those that say no more than that there is one thing."""
    article, _, rest = phrase.partition(" ")
    if rest and article.lower() in language.articles and language.phrases.article(rest) != rest:
        return phrase if article.lower() == "the" else language.phrases.article(rest)
    return phrase if is_determiner(phrase, language.phrases) else language.phrases.article(phrase)


def _task(name: str, ask: Callable[[Mapping[str, Any], str], Row | None], **traits: Any) -> Task:
    questions = sentences_of(language_named(DEFAULT_LANGUAGE)).questions[name]
    return Task(name, questions, ask, **{"mismatch": False, **traits})


OURS: Mapping[str, Task] = {
    task.name: task
    for task in (
        _task("difference", ask_difference, marked=True, shuffled=False, version=2),
        _task("which_image", ask_which_image, marked=True, mismatch=True, version=2),
        _task("same_or_different", ask_same_or_different, once_per_pair=True),
        _task("grounding", ask_grounding, version=2),
        _task("edit_instruction", ask_edit_instruction, once_per_pair=True, version=2),
        _task("commonality", ask_commonality, once_per_pair=True, version=2),
    )
}


LATER: Mapping[str, Task] = {
    task.name: task for task in (_task("differences", ask_differences, shuffled=False, once_per_pair=True),)
}
"""Tasks of ours that came later: a recipe that does not ask them has none of their wordings, and stays what it was."""


class UnknownTask(ImgDiffError, ValueError):
    """A name that is not a task's; the message has the nearest one that is."""


def _installed() -> dict[str, Task]:
    """The tasks that packages offer. Raises BrokenPart."""
    found: dict[str, Task] = {}
    for offer in offers("imgdiff_assets.tasks").values():
        if not isinstance(offer.part, Task) or offer.part.name != offer.name:
            raise offer.broken(f"it is not a Task named {offer.name!r}")
        if offer.name in (*OURS, *LATER):
            raise offer.broken("there is a task of that name")
        found[offer.name] = offer.part
    return found


TASKS: Mapping[str, Task] = {**OURS, **LATER, **_installed()}
"""Every task by name: ours, then those of installed packages. Which of them are asked, a recipe says."""


def task_named(name: str) -> Task:
    """Raises UnknownTask."""
    if name not in TASKS:
        nearest = difflib.get_close_matches(name, TASKS, n=1, cutoff=0.5)
        hint = f"did you mean {nearest[0]!r}?" if nearest else f"known: {', '.join(TASKS)}."
        raise UnknownTask(f"unknown task {name!r}; {hint}")
    return TASKS[name]
