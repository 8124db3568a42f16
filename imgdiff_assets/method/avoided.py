"""Captions that name what a recipe avoids, such as people: by the words of a list, and by the groups of a language."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

from imgdiff_assets.method.caption_edit import joined, words
from imgdiff_assets.method.language import Language

ENDLESS = "*"
"""In an entry: any letters, as in `paint*` or `*woman`."""


def avoided_word(text: str, entries: Sequence[str], language: Language) -> str | None:
    """The first word or phrase of a text that one of the entries stands for; None where there is none.

    An entry is a group of the language (`people`), a word or phrase, in any number, or a part of words with `*` for
    the rest. In a language without spaces an entry is found wherever its signs stand.
    """
    rules = _rules(tuple(entries), language)
    if not language.spaces:
        written = joined(words(text))
        return next((signs for signs in rules.written if signs in written), None)
    said = [_forms(word, language) for word in words(text)]
    for place, forms in enumerate(said):
        if forms & rules.exceptions:
            continue
        if forms & rules.single or any(rules.parts.fullmatch(form) for form in forms):
            return words(text)[place]
        for phrase in (phrase for form in forms for phrase in rules.phrases.get(form, ())):
            there = said[place : place + len(phrase)]
            if len(there) == len(phrase) and all(part in each for part, each in zip(phrase, there, strict=True)):
                return " ".join(words(text)[place : place + len(phrase)])
    return None


@dataclass(frozen=True, slots=True)
class _Rules:
    """What entries stand for: `written` as they are, single words, phrases by their first word, parts of words."""

    written: tuple[str, ...]
    exceptions: frozenset[str]
    single: frozenset[str]
    parts: re.Pattern[str]
    phrases: dict[str, list[tuple[str, ...]]] = field(default_factory=dict)


@cache
def _rules(entries: Sequence[str], language: Language) -> _Rules:
    written, exceptions = list[str](), frozenset[str]()
    for entry in entries:
        group = language.groups.get(entry.lower())
        written += [entry.lower()] if group is None else sorted(group.words)
        exceptions |= frozenset() if group is None else group.exceptions
    # What is named by itself is meant, whatever a group leaves out.
    exceptions -= {entry.lower() for entry in entries}
    single, parts, phrases = set[str](), list[str](), dict[str, list[tuple[str, ...]]]()
    for entry in written:
        said = tuple(words(entry))
        if ENDLESS in entry:
            parts.append(".*".join(map(re.escape, entry.split(ENDLESS))))
        elif len(said) == 1:
            single.add(said[0])
        elif said:
            phrases.setdefault(said[0], []).append(said)
    return _Rules(tuple(written), exceptions, frozenset(single), re.compile("|".join(parts) or "(?!)"), phrases)


def _forms(word: str, language: Language) -> set[str]:
    """The word, and what it may be the plural or the genitive of."""
    forms = {word}
    for ending, instead in language.inflections:
        if word.endswith(ending) and len(word) > len(ending) + 1:
            forms.add(word.removesuffix(ending) + instead)
    forms |= {language.plurals[form] for form in forms if form in language.plurals}
    return forms
