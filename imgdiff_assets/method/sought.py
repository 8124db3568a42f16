"""What is looked for in an image: what its caption names there, as the caption puts it."""

from imgdiff_assets.method.caption_edit import joined, words
from imgdiff_assets.method.kind import LISTED
from imgdiff_assets.method.language import Language


def as_captioned(named: str | None, caption: str | None, language: Language) -> str | None:
    """The named phrase, or each of those that are listed, behind the article that stands before it in the caption.

    "red car" of "a red car on a road" is "a red car"; "car" stays, since no article stands before it.
    """
    if not named or not caption:
        return named
    return LISTED.join(_behind_article(phrase, words(caption), language) for phrase in named.split(LISTED))


def _behind_article(phrase: str, caption: list[str], language: Language) -> str:
    told = words(phrase)
    for place in range(1, len(caption) - len(told) + 1):
        if caption[place : place + len(told)] == told and caption[place - 1] in language.articles:
            return joined([caption[place - 1], *told])
    return phrase
