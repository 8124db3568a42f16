"""A thing in another place, of the same things."""

from collections.abc import Mapping

from imgdiff_assets.method.caption_edit import joined
from imgdiff_assets.method.change import OBJECT, POSITION, Change, placed
from imgdiff_assets.method.kind import Example, Kind
from imgdiff_assets.method.language import Language


def check_position(source: str, target: str, named: Mapping[str, str], language: Language) -> Change:
    """What differs are words for places alone: "under" for "on", "to the right of" for "next to"."""
    found = placed(source, target, named, language)
    if isinstance(found, Change):
        return found
    places = language.kinds.get(POSITION, frozenset()) | language.articles
    runs = [caption[place] for caption, place in zip((found.old, found.new), found.differing, strict=True)]
    moved = all(set(run) - language.articles and places.issuperset(run) for run in runs)
    source_phrase, target_phrase = map(joined, found.phrases)
    return Change(source_phrase, target_phrase, POSITION if moved else OBJECT)


KIND = Kind(
    name="position_changed",
    differs="a thing is in another place",
    called=POSITION,
    request="Change where exactly one thing of this caption is, relative to another one that stays, as from under a "
    "table to on it.",
    names='name the thing, where it is and the other one, as in "cat under a table"',
    check=check_position,
    told="move the {name}",
    on_one_side=True,
    right=(
        Example("A cat under a table", "A cat on a table", "cat under a table", "cat on a table", "position"),
        Example("A cup left of a plate", "A cup right of a plate", "left of", "right of", "position"),
    ),
    wrong=(
        Example("A cat on a table", "A dog on a table", "cat on a table", "dog on a table", "position"),
        Example("A cat on a table", "A cat on a bed", "cat on a table", "cat on a bed", "position"),
        Example("A cat under a table", "A cat on the bed", "under", "on", "position"),
    ),
)
