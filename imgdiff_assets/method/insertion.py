"""Captions of which one is the other with a thing more in it."""

from imgdiff_assets.method.caption_edit import joined, words
from imgdiff_assets.method.change import MISNAMED, MORE_CHANGED, UNNAMED, Change, Words, function_words
from imgdiff_assets.method.language import Language


def put_in(shorter: str, longer: str, named: str, language: Language) -> str | Change:
    """The phrase that the longer caption has more, as it is named, without articles; a change with a fault where not.

    Other than the phrase, what is more may only join it to the rest: "and", "with", "next to the".
    """
    few, many = words(shorter), words(longer)
    phrase = words(named)
    while phrase and phrase[0] in language.articles:
        phrase = phrase[1:]
    if not phrase:
        return Change(fault=UNNAMED)
    if not _holds(many, phrase):
        return Change(fault=MISNAMED)
    joining = function_words(language) | language.articles | language.joining
    joining = joining | language.kinds.get("position", frozenset())
    more = len(many) - len(few)
    for start in range(len(few) + 1 if more > 0 else 0):
        run = many[start : start + more]
        if many[:start] + many[start + more :] == few and _holds(run, phrase):
            place = next(at for at in range(len(run)) if run[at : at + len(phrase)] == phrase)
            if joining.issuperset(run[:place] + run[place + len(phrase) :]):
                return joined(phrase)
    return Change(fault=MORE_CHANGED)


def _holds(caption: Words, phrase: Words) -> bool:
    return any(caption[at : at + len(phrase)] == phrase for at in range(len(caption)))
