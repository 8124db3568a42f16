"""Somebody who does something else."""

from collections.abc import Mapping

from imgdiff_assets.method.caption_edit import joined
from imgdiff_assets.method.change import ACTION, OBJECT, Change, function_words, is_done, placed
from imgdiff_assets.method.kind import Example, Kind
from imgdiff_assets.method.language import Language


def check_action(source: str, target: str, named: Mapping[str, str], language: Language) -> Change:
    """What differs is a verb on each side, with nothing behind it but words that join: "sitting down", "riding on"."""
    found = placed(source, target, named, language)
    if isinstance(found, Change):
        return found
    joining = function_words(language) | language.kinds.get("position", frozenset())
    runs = [caption[place] for caption, place in zip((found.old, found.new), found.differing, strict=True)]
    before = found.old[: found.differing[0].start]
    # "a building", "the running shoes": no verb stands behind an article.
    named_as_thing = bool(before) and before[-1] in language.articles
    acts = all(run and is_done(run[0], language) and joining.issuperset(run[1:]) for run in runs)
    source_phrase, target_phrase = map(joined, found.phrases)
    return Change(source_phrase, target_phrase, ACTION if acts and not named_as_thing else OBJECT)


KIND = Kind(
    name="action_changed",
    differs="somebody does something else",
    called=ACTION,
    request="Change what exactly one person or animal of this caption does, to something that looks clearly different "
    "and can be done in the same place.",
    names='name who does what, as in "man sitting"',
    check=check_action,
    told="change the {source} to {difference}",
    right=(
        Example("A man sitting on a bench", "A man standing on a bench", "man sitting", "man standing", "action"),
        Example("A dog sleeps by a door", "A dog sits by a door", "dog sleeps", "dog sits", "verb"),
    ),
    wrong=(
        Example("A man eating a pizza", "A man playing a guitar", "eating a pizza", "playing a guitar", "action"),
        Example("A building by a lake", "A painting by a lake", "building", "painting", "action"),
        Example("A man sitting on a bench", "A woman sitting on a bench", "man sitting", "woman sitting", "action"),
    ),
)
