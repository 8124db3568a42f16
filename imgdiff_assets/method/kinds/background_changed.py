"""The same things in other surroundings."""

from collections.abc import Mapping

from imgdiff_assets.method.caption_edit import joined
from imgdiff_assets.method.change import BACKGROUND, OBJECT, POSITION, Change, placed
from imgdiff_assets.method.kind import Example, Kind
from imgdiff_assets.method.language import Language


def check_background(source: str, target: str, named: Mapping[str, str], language: Language) -> Change:
    """What differs ends both captions, behind a word that says where: "on the grass", "in a busy street".

    Whether that is a place or a thing, code cannot tell.
    """
    found = placed(source, target, named, language)
    if isinstance(found, Change):
        return found
    before = [word for word in found.old[: found.one.start] if word not in language.articles]
    stands = bool(before) and before[-1] in language.kinds.get(POSITION, frozenset())
    ends = found.one.stop == len(found.old) and found.other.stop == len(found.new)
    source_phrase, target_phrase = map(joined, found.phrases)
    return Change(source_phrase, target_phrase, BACKGROUND if stands and ends and all(found.phrases) else OBJECT)


KIND = Kind(
    name="background_changed",
    differs="the same things are in other surroundings",
    called=BACKGROUND,
    request="Change where the scene of this caption takes place, to surroundings that look clearly different; they "
    "are the last words of the caption.",
    names='name the old surroundings, as in "beach"',
    check=check_background,
    told="change the {source} to {name}",
    whole=True,
    everywhere=True,
    region_question="What is the background of this picture? Answer with a short noun phrase.",
    difference_question="The left and the right picture show the same in different surroundings. Behind it the left "
    "one shows: {source_caption} The right one shows: {target_caption} Say in one sentence how the "
    "backgrounds differ.",
    right=(
        Example("A dog runs on the grass", "A dog runs on the beach", "grass", "beach"),
        Example("Two people in a busy street.", "Two people in a quiet forest.", "busy street", "quiet forest"),
    ),
    wrong=(
        Example("A dog runs on the grass", "A cat runs on the grass", "dog", "cat"),
        Example("A dog runs on the grass", "A cat runs on the beach", "grass", "beach"),
        Example("A dog on the grass near a house", "A dog on the sand near a house", "grass", "sand"),
    ),
)
