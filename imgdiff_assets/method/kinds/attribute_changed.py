"""A thing of another colour, material, size or state."""

from collections.abc import Mapping
from dataclasses import replace

from imgdiff_assets.method.caption_edit import joined
from imgdiff_assets.method.change import ATTRIBUTE, OBJECT, Change, Placed, check, function_words, is_done, placed
from imgdiff_assets.method.kind import Example, Kind
from imgdiff_assets.method.language import Language

MOST_WORDS_OF_A_NAME = 2
"""Behind an adjective; where only that is named, so many words behind it are taken for the thing's name."""


def check_attribute(source: str, target: str, named: Mapping[str, str], language: Language) -> Change:
    """As `check`; what differs must be known as a quality, or stand before the name of a thing that both have.

    A quality is told with the thing that has it: of "red" in "a red car on a road", "red car".
    """
    change, found = check(source, target, named, language), placed(source, target, named, language)
    if change.fault or isinstance(found, Change):
        return change
    differing = found.differing
    runs = found.old[differing[0]], found.new[differing[1]]
    qualities = language.kinds.get(ATTRIBUTE, frozenset())
    behind = _name(found.old[differing[0].stop :], language)
    known = all(run and all(word in qualities for word in run) for run in runs)
    alike = behind == _name(found.new[differing[1].stop :], language)
    if not all(runs) or change.kind not in (ATTRIBUTE, OBJECT) or not (known or (behind and alike)):
        return replace(change, kind=OBJECT if change.kind == ATTRIBUTE else change.kind)
    return Change(_whole(found, 0, language), _whole(found, 1, language), ATTRIBUTE)


def _name(behind: list[str], language: Language) -> list[str]:
    """The words at the beginning that may be the rest of a name."""
    other = function_words(language) | language.kinds.get("position", frozenset())
    ends = (place for place, word in enumerate(behind) if word in other or is_done(word, language))
    return behind[: next(ends, len(behind))][:MOST_WORDS_OF_A_NAME]


def _whole(found: Placed, side: int, language: Language) -> str:
    """The named phrase, with the name behind it where it ends in the quality."""
    caption, place = ((found.old, found.one), (found.new, found.other))[side]
    ends = place.stop == found.differing[side].stop
    return joined(caption[place] + (_name(caption[place.stop :], language) if ends else []))


KIND = Kind(
    name="attribute_changed",
    differs="a thing has another colour, material, size or state",
    called=ATTRIBUTE,
    request="Change the colour, the material, the size or the state of exactly one thing of this caption to one that "
    "looks clearly different.",
    names='name the thing with that quality, as in "red car"',
    check=check_attribute,
    told="make the {source} {difference}",
    right=(
        Example("A man rides a red bike", "A man rides a blue bike", "red bike", "blue bike", "attribute"),
        Example("A stone house on a hill", "A brick house on a hill", "stone house", "brick house", "object"),
        Example("An open umbrella", "A closed umbrella", "open", "closed"),
    ),
    wrong=(
        Example("A wooden chair", "A wooden table", "wooden chair", "wooden table", "attribute"),
        Example("A red car by a tree", "A blue car by a house", "red car", "blue car", "attribute"),
        Example("Two red cars", "Three red cars", "two red cars", "three red cars", "attribute"),
    ),
)
