"""What reads badly in a conversation, wherever its words came from: looked for in the text, not in how it was made."""

import re
from collections.abc import Iterator
from functools import cache

from imgdiff_assets.method.language import Language, is_of
from imgdiff_assets.method.noun_phrases import noun_phrase
from imgdiff_assets.method.special_tokens import without_tokens

_FORMS = {
    "markdown or JSON": r"\*\*|__|`|\s\|\s|\]\(|\{\s*\"|^(?:#|[-*•] |\(?\d{1,2}[.)] )",
    "a space before punctuation": r"\s[.,;!?](?:\s|$)",
    "two marks in a row": r"[,;:]\s*[,;:.?!]|(?<!\.)\.\.(?!\.)|[!?][.!?]|[。！？][.。！？]",
    "a small letter at its beginning": r"^[a-z]",
}
_QUOTES = re.compile(r"[\"“”„«»「」『』]")
_END = re.compile(r"[.!?。！？…][\"”“»」』)]*$")


def reading_faults(question: str, answer: str, subject: str | None, stated: bool, language: Language) -> list[str]:
    """What is wrong with a question, its answer, and the name that is asked about; empty where all reads well.

    The answer is a sentence or more where `stated`; else a letter, a box or what a task of a package gives, of which
    only special tokens are found.
    """
    texts = {"question": question, "answer": answer}
    found = [f"a special token in the {name}" for name, text in texts.items() if without_tokens(text) != text]
    for name, text in list(texts.items())[: 1 + stated]:
        found += [f"{fault} in the {name}" for fault in _faults(text, language)]
    if subject is not None and noun_phrase(subject, language.phrases) != subject:
        found.append(f"no mere name is asked about: {subject}")
    return found


def _faults(text: str, language: Language) -> Iterator[str]:
    yield from (fault for fault, pattern in _FORMS.items() if re.search(pattern, text))
    if len(_QUOTES.findall(text)) % 2:
        yield "a quotation mark without its other"
    if not _END.search(text):
        yield "no full stop"
    if is_of(text, language) and (slip := _slips(language.slips).search(text)):
        yield f"“{slip[0]}”"


@cache
def _slips(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns) or "(?!)", re.IGNORECASE)
