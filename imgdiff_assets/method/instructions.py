"""The instruction that makes of one caption's picture another's, in the captions' own words."""

from collections.abc import Sequence

from imgdiff_assets.method.caption_edit import ARTICLES, joined, words
from imgdiff_assets.method.change import function_words
from imgdiff_assets.method.language import Language

REPLACED = ("object_replaced", "background_changed")
"""The kinds of difference in which one thing takes another's place."""


def instruction(
    kind: str, captions: tuple[str, str], phrases: tuple[str | None, str | None], language: Language
) -> str | None:
    """What to tell an editor, in English: "replace the red ball with a blue cup".

    `phrases` are what differs of the two captions, None or empty where something is there on one side alone; told
    whole, with the words before them that belong to the same thing. None where the captions do not have them.
    """
    joining = function_words(language) | language.kinds.get("position", frozenset())
    told = [_whole(*side, joining) for side in zip(captions, phrases, strict=True)]
    if None in told:
        return None
    old, new = (each or ("", "") for each in told)
    if not old[1] and not new[1]:
        return None
    if not old[1]:
        return f"add {_with(new)}"
    named = f"the {old[1]}"
    if not new[1]:
        return f"remove {named}"
    return f"replace {named} with {_with(new)}" if kind in REPLACED else f"change {named} to {_with(new)}"


def _whole(caption: str, phrase: str | None, joining: frozenset[str]) -> tuple[str, str] | None:
    """The article before a phrase, and the phrase with the words between; None where the caption does not have it."""
    said, wanted = words(caption), words(phrase or "")
    if not wanted:
        return "", ""
    start = _place(said, wanted)
    if start is None:
        return None
    stop = start + len(wanted)
    while start and said[start - 1] not in joining | ARTICLES:
        start -= 1
    article = said[start - 1] if start and said[start - 1] in ARTICLES else ""
    return article, joined(said[start:stop])


def _place(said: Sequence[str], wanted: Sequence[str]) -> int | None:
    starts = range(len(said) - len(wanted) + 1)
    return next((start for start in starts if list(said[start : start + len(wanted)]) == list(wanted)), None)


def _with(thing: tuple[str, str]) -> str:
    return " ".join(filter(None, thing))
