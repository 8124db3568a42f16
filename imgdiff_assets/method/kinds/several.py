"""Two differences at once."""

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise, product

from imgdiff_assets.method.caption_edit import joined, words
from imgdiff_assets.method.change import CHANGE_KEYS, MISNAMED, MORE_CHANGED, SEVERAL, UNNAMED, Change, Words
from imgdiff_assets.method.kind import LISTED, Example, Kind
from imgdiff_assets.method.language import Language

BETWEEN = re.compile(r"\s*[,;，；、]\s*")
DIFFERENCES = 2


def check_several(source: str, target: str, named: Mapping[str, str], language: Language) -> Change:
    """Both sides name two phrases, each is in its caption, in the place of the other, and all else is the same."""
    old, new = words(source), words(target)
    phrases = [[_bare(words(phrase), language) for phrase in BETWEEN.split(named[key])] for key in CHANGE_KEYS]
    if any(len(side) != DIFFERENCES or not all(side) for side in phrases):
        return Change(fault=UNNAMED)
    if any(one == other for one, other in zip(*phrases, strict=True)):
        return Change(fault=UNNAMED)
    left, right = (list(_blanked(caption, side, language)) for caption, side in zip((old, new), phrases, strict=True))
    if not left or not right:
        return Change(fault=MISNAMED)
    if not any(one == other for one, other in product(left, right)):
        return Change(fault=MORE_CHANGED)
    listed = [LISTED.join(map(joined, side)) for side in phrases]
    return Change(listed[0], listed[1], SEVERAL)


def _bare(phrase: Words, language: Language) -> Words:
    while phrase and phrase[0] in language.articles:
        phrase = phrase[1:]
    return phrase


def _blanked(caption: Words, phrases: Sequence[Words], language: Language) -> list[Words]:
    """The caption without articles, with a number in the place of each phrase: once for each place they may have."""
    places = [
        [at for at in range(len(caption) - len(phrase) + 1) if caption[at : at + len(phrase)] == phrase]
        for phrase in phrases
    ]
    found = []
    for starts in product(*places):
        spans = sorted((start, start + len(phrases[number]), number) for number, start in enumerate(starts))
        if all(first[1] <= second[0] for first, second in pairwise(spans)):
            rest, end = list[str](), 0
            for start, stop, number in spans:
                rest += [*caption[end:start], f"\0{number}"]
                end = stop
            found.append([word for word in (*rest, *caption[end:]) if word not in language.articles])
    return found


KIND = Kind(
    name="several",
    differs="two things differ at once",
    called=SEVERAL,
    request="Change exactly two different things of this caption: swap each for another, or change its colour, "
    "material or state.",
    names='name the two things, divided by a comma, as in "red car, dog"',
    check=check_several,
    listed=True,
    right=(
        Example("A red car by a dog", "A blue car by a cat", "red car, dog", "blue car, cat"),
        Example("A cup and a plate on a table.", "A vase and a book on a table.", "a cup, a plate", "a vase, a book"),
    ),
    wrong=(
        Example("A red car by a dog", "A blue car by a dog", "red car, dog", "blue car, dog"),
        Example("A red car by a dog", "A blue car by a cat", "red car", "blue car"),
        Example("A cup and a plate on a table.", "A vase and a book on a shelf.", "cup, plate", "vase, book"),
    ),
)
