"""A thing that was not there before."""

from collections.abc import Mapping

from imgdiff_assets.method.change import ADDED, Change
from imgdiff_assets.method.insertion import put_in
from imgdiff_assets.method.kind import Example, Kind
from imgdiff_assets.method.language import Language


def check_added(source: str, target: str, named: Mapping[str, str], language: Language) -> Change:
    """The target is the other caption with the named thing in it, and words that join it to the rest."""
    named_phrase = put_in(source, target, named["replacement"], language)
    return named_phrase if isinstance(named_phrase, Change) else Change(None, named_phrase, ADDED)


KIND = Kind(
    name="object_added",
    differs="there is a thing that was not there",
    called=ADDED,
    request="Add exactly one thing to this caption, that can be seen clearly and has room beside what is there.",
    names='are changed, which are none: write "nothing"',
    check=check_added,
    sides=("target",),
    drawn_first="target",
    right=(
        Example("A dog on a sofa.", "A dog and a cat on a sofa.", "nothing", "cat"),
        Example("A man in a park", "A man with an umbrella in a park", "nothing", "an umbrella"),
        Example("A red cup on the sand", "A red cup and a green tree on the sand", "nothing", "green tree"),
    ),
    wrong=(
        Example("A dog on a sofa.", "A cat on a sofa.", "nothing", "cat"),
        Example("A dog on a sofa.", "A dog and a cat on a bed.", "nothing", "cat"),
        Example("A dog on a sofa.", "A dog and a red cat sleeping on a sofa.", "nothing", "cat"),
    ),
)
