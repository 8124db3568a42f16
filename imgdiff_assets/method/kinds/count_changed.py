"""More or fewer of a thing."""

from collections.abc import Mapping

from imgdiff_assets.method.agreement import stem
from imgdiff_assets.method.caption_edit import joined
from imgdiff_assets.method.change import COUNT, OBJECT, Change, Words, placed
from imgdiff_assets.method.kind import Example, Kind
from imgdiff_assets.method.language import Language


def check_count(source: str, target: str, named: Mapping[str, str], language: Language) -> Change:
    """Both phrases name the same things, behind different numbers of which one may be an article."""
    found = placed(source, target, named, language)
    if isinstance(found, Change):
        return found
    sides = ((found.old, found.one), (found.new, found.other))
    (number, things), (other_number, other_things) = (_counted(*side, language) for side in sides)
    alike = bool(things) and len(things) == len(other_things)
    alike = alike and all(_same(*both, language) for both in zip(things, other_things, strict=True))
    told = joined([*number, *things]), joined([*other_number, *other_things])
    numbers = language.kinds.get(COUNT, frozenset())
    counted = all(number_of & (numbers | language.articles) for number_of in (set(number), set(other_number)))
    if not alike or not counted or _amount(number, language) == _amount(other_number, language):
        return Change(*told, OBJECT)
    return Change(*told, COUNT)


def _counted(caption: Words, place: slice, language: Language) -> tuple[Words, Words]:
    """The words that say how many, some of which may stand before the named phrase, and what there is so many of."""
    counting = language.kinds.get(COUNT, frozenset()) | language.articles
    start = place.start
    while start and caption[start - 1] in counting:
        start -= 1
    phrase = caption[start : place.stop]
    first = next((index for index, word in enumerate(phrase) if word not in counting and word != "of"), len(phrase))
    return phrase[:first], phrase[first:]


def _same(one: str, other: str, language: Language) -> bool:
    """Whether two words are forms of one, in the singular or the plural."""
    singular = [language.plurals.get(word, word) for word in (one, other)]
    return singular[0] == singular[1] or stem(one, language) == stem(other, language)


def _amount(number: Words, language: Language) -> str:
    """The word that tells the number; one thing, where there is but an article."""
    told = [word for word in number if word in language.kinds.get(COUNT, frozenset())]
    return language.sides.same.get(told[0], told[0]) if told else "one"


KIND = Kind(
    name="count_changed",
    differs="there are more or fewer of a thing",
    called=COUNT,
    request="Change how many there are of exactly one thing of this caption, to another number of at most six.",
    names='name the thing with its number, as in "two dogs"',
    check=check_count,
    told="change {these} to {target}",
    on_one_side=True,
    right=(
        Example("Two dogs play in the snow", "Four dogs play in the snow", "two dogs", "four dogs", "count"),
        Example("A dog sits on a mat.", "Three dogs sit on a mat.", "a dog", "three dogs", "count"),
        Example("A man in a park", "Two men in a park", "man", "two men"),
    ),
    wrong=(
        Example("Two dogs play", "Two cats play", "two dogs", "two cats", "count"),
        Example("A dog on a mat", "The dog on a mat", "a dog on", "the dog on", "count"),
        Example("A dog on a mat", "Two cats on a mat", "a dog", "two cats", "count"),
    ),
)
