"""A thing that is no longer there."""

from collections.abc import Mapping

from imgdiff_assets.method.change import REMOVED, Change
from imgdiff_assets.method.insertion import put_in
from imgdiff_assets.method.kind import Example, Kind
from imgdiff_assets.method.language import Language


def check_removed(source: str, target: str, named: Mapping[str, str], language: Language) -> Change:
    """The source is the other caption with the named thing in it, and words that join it to the rest."""
    named_phrase = put_in(target, source, named["replaced"], language)
    return named_phrase if isinstance(named_phrase, Change) else Change(named_phrase, None, REMOVED)


KIND = Kind(
    name="object_removed",
    differs="a thing is no longer there",
    called=REMOVED,
    request="Take exactly one thing out of this caption, so that the rest stays as it is.",
    names="name it",
    check=check_removed,
    sides=("source",),
    drawn_first="source",
    right=(
        Example("A dog and a cat on a sofa.", "A dog on a sofa.", "cat", "nothing"),
        Example("A man with an umbrella in a park", "A man in a park", "umbrella", "nothing"),
    ),
    wrong=(
        Example("A dog on a sofa.", "A cat on a sofa.", "dog", "nothing"),
        Example("A dog and a cat on a sofa.", "A dog on a bed.", "cat", "nothing"),
        Example("A dog and a red cat sleeping on a sofa.", "A dog on a sofa.", "cat", "nothing"),
    ),
)
