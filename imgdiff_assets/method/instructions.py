"""The instruction that makes of one caption's picture another's, in the captions' own words."""

from collections.abc import Sequence
from dataclasses import dataclass

from imgdiff_assets.method.caption_edit import ARTICLES, joined, words
from imgdiff_assets.method.change import function_words
from imgdiff_assets.method.language import Language


@dataclass(frozen=True, slots=True)
class _Thing:
    """What one caption names, in its words: with the article before it, without, and behind which words it comes."""

    article: str
    name: list[str]

    @property
    def phrase(self) -> str:
        return " ".join(filter(None, (self.article, joined(self.name))))


def instruction(
    told: str, captions: tuple[str, str], phrases: tuple[str | None, str | None], language: Language
) -> str | None:
    """What to tell an editor, in English: "replace the red ball with a blue cup".

    `phrases` are what differs of the two captions, None or empty where something is there on one side alone: it is
    added or removed. Of others `told` is the sentence, in which `{source}` and `{name}` are the whole names in the old
    and in the new caption, without articles, `{these}` and `{target}` with the captions' own, and `{difference}` is
    what of the new name is not in the old. None where the captions do not have the phrases.
    """
    joining = function_words(language) | language.kinds.get("position", frozenset())
    if not any(phrases):
        return None
    things = [
        _thing(caption, phrase, joining) if phrase else None for caption, phrase in zip(captions, phrases, strict=True)
    ]
    if any(phrase and thing is None for phrase, thing in zip(phrases, things, strict=True)):
        return None
    old, new = things
    if old is None or new is None:
        return (
            f"remove the {joined(old.name)}" if old is not None else f"add {new.phrase}" if new is not None else None
        )
    return told.format(
        source=joined(old.name),
        name=joined(_of_the_same(new.name)),
        these=old.phrase,
        target=new.phrase,
        difference=joined(_beyond(old.name, new.name)),
    )


def _thing(caption: str, phrase: str, joining: frozenset[str]) -> _Thing | None:
    """The phrase, with the words before it that belong to the same thing; None where the caption does not have it."""
    said, wanted = words(caption), words(phrase)
    starts = range(len(said) - len(wanted) + 1)
    start = next((start for start in starts if said[start : start + len(wanted)] == wanted), None)
    if start is None or not wanted:
        return None
    stop = start + len(wanted)
    while start and said[start - 1] not in joining | ARTICLES:
        start -= 1
    return _Thing(said[start - 1] if start and said[start - 1] in ARTICLES else "", said[start:stop])


def _of_the_same(name: Sequence[str]) -> list[str]:
    """The name, in which other things are those that are there already."""
    return ["the" if word in ARTICLES else word for word in name]


def _beyond(old: Sequence[str], new: Sequence[str]) -> list[str]:
    """What of the new name stands between what both begin and end with; the whole where that is nothing."""
    head = next(
        (at for at, pair in enumerate(zip(old, new, strict=False)) if pair[0] != pair[1]), min(len(old), len(new))
    )
    ends = zip(old[head:][::-1], new[head:][::-1], strict=False)
    tail = next((at for at, pair in enumerate(ends) if pair[0] != pair[1]), min(len(old), len(new)) - head)
    return list(new[head : len(new) - tail]) or list(new)
