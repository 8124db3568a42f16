"""What was replaced by what between two captions, as the rewriter names it; code checks that it is so.

Which words belong together ("wine glass") and what kind of thing they name, only who understands them can tell. That
they stand in the captions, and that nothing else was changed, needs no understanding.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from imgdiff_assets.method.answers import objects_in, without_thoughts
from imgdiff_assets.method.caption_edit import joined, words
from imgdiff_assets.method.language import Language, listed

KINDS = ("object", "attribute", "count", "position", "action")
OBJECT, ATTRIBUTE, COUNT, POSITION, ACTION = KINDS
ADDED, REMOVED, BACKGROUND, SEVERAL = "added", "removed", "background", "several"
"""Kinds that code finds alone: a rewriter need have no word for them."""

UNNAMED, MISNAMED, MORE_CHANGED, SEVERAL_OBJECTS = "unnamed", "misnamed", "more_changed", "several_objects"
"""What may be wrong with a named change."""

CHANGE_KEYS = ("replaced", "replacement")

_CALLED = {
    "object": listed(
        "noun thing item animal person people food drink vehicle furniture plant tool toy clothing building"
    ),
    "attribute": listed("adjective colour color size material texture pattern shape style appearance"),
    "count": listed("number quantity amount"),
    "position": listed("location place preposition direction"),
    "action": listed("verb activity pose"),
}
"""What the kinds are also called, by models that keep to no schema."""

_LISTED = re.compile(r"(\w+)\s*[,;/&、，；]\s*(\w+)")

Words = list[str]


@dataclass(frozen=True, slots=True)
class Change:
    """One phrase replaced by another, without articles, and its kind; `fault` says what is wrong with it."""

    source: str | None = None
    target: str | None = None
    kind: str | None = None
    fault: str | None = None


def schema(with_caption: bool) -> dict[str, Any]:
    """The JSON schema of the answer that names a change, with the new caption before it or without."""
    phrase = {"type": "string", "minLength": 1, "maxLength": 60}
    properties: dict[str, Any] = {"replaced": phrase, "replacement": phrase, "kind": {"enum": list(KINDS)}}
    if with_caption:
        properties = {"caption": {**phrase, "maxLength": 400}, **properties}
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def named_change(answer: str, keys: Collection[str] = CHANGE_KEYS) -> Mapping[str, str] | None:
    """The object in an answer that names a change with all these keys; None where there is none, or more than one."""
    found = [value for value in objects_in(without_thoughts(answer)) if set(keys) <= value.keys()]
    if len(found) != 1 or not all(isinstance(found[0][key], str) for key in keys):
        return None
    return {key: value for key, value in found[0].items() if isinstance(value, str)}


def check(source: str, target: str, named: Mapping[str, str], language: Language) -> Change:
    """The change from one caption to the other that was named as `CHANGE_KEYS` say, in the captions' own words.

    It may be named with more words than it has: what both phrases have around a joining word ("piece of", "on the
    sofa") is no part of it, nor are numbers and possessives before it. Other than the phrases, the captions may differ
    in articles and in what agrees with the phrases. A named `kind` holds unless the words tell another; without one
    it is an object, which was asked for.
    """
    found = placed(source, target, named, language)
    if isinstance(found, Change):
        return found
    change = _judged(found, _kind(named.get("kind", "")), language)
    several = any(_lists(named[key], language) for key in CHANGE_KEYS)
    return replace(change, fault=SEVERAL_OBJECTS) if several and change.kind == OBJECT else change


@dataclass(frozen=True, slots=True)
class Placed:
    """Where the two named phrases stand in the words of their captions, which say the same around them."""

    old: Words
    one: slice
    new: Words
    other: slice

    @property
    def phrases(self) -> tuple[Words, Words]:
        return self.old[self.one], self.new[self.other]

    @property
    def differing(self) -> tuple[slice, slice]:
        """What differs of the two phrases, in the words of the captions: without what both begin and end with."""
        source, target = self.phrases
        head = _shared(source, target)
        tail = min(_shared(source[::-1], target[::-1]), min(len(source), len(target)) - head)
        return (
            slice(self.one.start + head, self.one.stop - tail),
            slice(self.other.start + head, self.other.stop - tail),
        )


def placed(source: str, target: str, named: Mapping[str, str], language: Language) -> Placed | Change:
    """The two phrases that are named as `CHANGE_KEYS` say, found in the captions; a change with a fault where not."""
    old, new = words(source), words(target)
    replaced, replacement = (_bare(words(named[key]), language) for key in CHANGE_KEYS)
    if not replaced or not replacement or replaced == replacement:
        return Change(fault=UNNAMED)
    places = [
        (one, other) for one in _places(old, replaced, language) for other in _places(new, replacement, language)
    ]
    if not places:
        return Change(fault=MISNAMED)
    for one, other in places:
        before = _agree(old[: one.start], new[: other.start], language, -1)
        if before and _agree(old[one.stop :], new[other.stop :], language, 0):
            return Placed(old, one, new, other)
    return Change(fault=MORE_CHANGED)


def _kind(said: str) -> str:
    """One of `KINDS`, or what was said where it is none of them."""
    told = set(words(said))
    named = [kind for kind in KINDS if kind in told] or [kind for kind in KINDS if _CALLED[kind] & told]
    return named[0] if len(named) == 1 else said.strip().lower() or OBJECT


def _judged(found: Placed, kind: str, language: Language) -> Change:
    phrases = _narrowed(*found.phrases, language)
    source, target = phrases
    head = _shared(source, target)
    tail = min(_shared(source[::-1], target[::-1]), min(len(source), len(target)) - head)
    differing = source[head : len(source) - tail], target[head : len(target) - tail]
    kind = _kind_by_words(*differing, language) or kind
    if kind == OBJECT and any(all(word in function_words(language) for word in run) for run in differing if run):
        kind = ATTRIBUTE  # "his" for "her": whose it is, and no thing
    if _are_verbs(found.old[: found.one.start], *phrases, language):
        kind = ACTION
    if not all(differing):  # Words were added or taken away.
        return Change(joined(differing[0]), joined(differing[1]), kind)
    several = kind == OBJECT and any(word in language.joining for phrase in phrases for word in phrase)
    return Change(joined(source), joined(target), kind, SEVERAL_OBJECTS if several else None)


def _lists(phrase: str, language: Language) -> bool:
    """Whether a phrase names things one after another, and not what one of them is like: "eggs, bacon"."""
    qualities = language.kinds.get("attribute", frozenset())
    return any(match[1].lower() not in qualities for match in _LISTED.finditer(phrase))


def _bare(phrase: Words, language: Language) -> Words:
    """Without the articles it begins with."""
    while phrase and phrase[0] in language.articles:
        phrase = phrase[1:]
    return phrase


def _places(caption: Words, phrase: Words, language: Language) -> list[slice]:
    """Where the phrase stands in the caption, in its own form or, if it does not, with another ending."""
    width = len(phrase)
    windows = [slice(start, start + width) for start in range(len(caption) - width + 1)]

    def found(alike: Callable[[str, str], bool]) -> list[slice]:
        return [place for place in windows if all(map(alike, caption[place], phrase))]

    return found(str.__eq__) or found(lambda one, other: one == other or _differ_in_ending(one, other, language))


def _agree(one: Words, other: Words, language: Language, beside: int) -> bool:
    """Whether two runs of words say the same; the one at `beside` stands beside the phrase, and may agree with it."""
    one, other = ([word for word in run if word not in language.articles] for run in (one, other))
    if len(one) != len(other):
        return False
    neighbour = beside % len(one) if one else 0
    return all(
        first == second
        or any({first, second} <= those for those in language.agreeing)
        or (place == neighbour and _differ_in_ending(first, second, language))
        for place, (first, second) in enumerate(zip(one, other, strict=True))
    )


def _differ_in_ending(one: str, other: str, language: Language) -> bool:
    stems = [{word, *(word.removesuffix(ending) for ending in language.endings)} for word in (one, other)]
    return any(len(stem) > 1 for stem in stems[0] & stems[1])


def _narrowed(one: Words, other: Words, language: Language) -> tuple[Words, Words]:
    """Both phrases without what they share around a joining word, and without determiners they begin with."""

    def joins(word: str) -> bool:
        return word in language.joining or word in language.articles

    tail = _shared(one[::-1], other[::-1])
    cuts = [size for size in range(1, tail + 1) if joins(one[-size])]
    if cuts and cuts[-1] < min(len(one), len(other)):
        one, other = one[: -cuts[-1]], other[: -cuts[-1]]
    head = _shared(one, other)
    starts = [size for size in range(1, head + 1) if joins(one[size - 1])]
    if starts and starts[-1] < min(len(one), len(other)):
        one, other = one[starts[-1] :], other[starts[-1] :]
    cut: str | None = None
    while min(len(one), len(other)) > 1 and _are_determiners(one[0], other[0], cut, language):
        cut, one, other = one[0], one[1:], other[1:]
    return _bare(one, language), _bare(other, language)


def _are_determiners(one: str, other: str, before: str | None, language: Language) -> bool:
    numbers = language.kinds.get("count", frozenset())
    # Where signs are words, what agrees with a thing may as well begin its name, unless a number stands before it.
    may_agree = language.spaces or before in numbers
    agree = may_agree and any({one, other} <= those for those in language.agreeing)
    return agree or (one == other and one in numbers)


def _shared(one: Sequence[str], other: Sequence[str]) -> int:
    """With how many equal words both begin."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (first, second) in pairs if first != second), min(len(one), len(other)))


def _kind_by_words(one: Words, other: Words, language: Language) -> str | None:
    """The kind of change where the words alone tell it, whatever was said of it: one colour for another, say."""
    for kind, known in language.kinds.items():
        if any(word in known for word in one) and all(
            word in known or word in language.joining or word in language.articles for word in (*one, *other)
        ):
            return kind
    return None


@cache
def function_words(language: Language) -> frozenset[str]:
    """Words that name no thing, whatever stands beside them."""
    return language.articles.union(language.joining, language.before_nouns, *language.agreeing)


def is_done(word: str, language: Language) -> bool:
    """Whether a word may be what is done, as far as it looks so."""
    return word.endswith(language.verb_endings) or word in language.kinds.get(ACTION, frozenset())


def _are_verbs(before: Words, one: Words, other: Words, language: Language) -> bool:
    """Whether two single words are what is done, and not what is there: no article or adjective stands before them."""
    if not before or not all(
        len(phrase) == 1 and phrase[0].endswith(language.verb_endings) for phrase in (one, other)
    ):
        return False
    nominal = language.articles | language.before_nouns | language.kinds.get("attribute", frozenset())
    return before[-1] not in nominal


def supported_change(source: str, target: str, said: str, language: Language) -> dict[str, str] | None:
    """The change that a sentence names: the longest phrases around what differs that both stand in the sentence.

    None where the sentence does not name it, or repeats the captions whole.
    """
    old, new, told = words(source), words(target), f" {' '.join(words(said))} "
    if any(f" {' '.join(caption)} " in told for caption in (old, new)):
        return None
    head, tail = _shared(old, new), _shared(old[::-1], new[::-1])
    tail = min(tail, min(len(old), len(new)) - head)
    for more_before, more_after in _widenings(head, tail):
        ends = len(old) - tail + more_after, len(new) - tail + more_after
        phrases = [_bare(run[head - more_before : end], language) for run, end in zip((old, new), ends, strict=True)]
        if all(phrase and f" {' '.join(phrase)} " in told for phrase in phrases):
            kinds = [kind for kind in KINDS if f" {kind} " in told and kind not in {*old, *new}]
            kind = kinds[0] if len(kinds) == 1 else ""
            return {"replaced": joined(phrases[0]), "replacement": joined(phrases[1]), "kind": kind}
    return None


def _widenings(before: int, after: int) -> Iterator[tuple[int, int]]:
    """How far to widen a phrase to both sides, from the widest down."""
    pairs = [(one, other) for one in range(before + 1) for other in range(after + 1)]
    yield from sorted(pairs, key=lambda pair: (-sum(pair), pair))
