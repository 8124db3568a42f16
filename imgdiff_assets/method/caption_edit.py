"""Which words differ between two captions: a comparison of token sequences, without a grammar."""

import difflib
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import regex  # knows scripts and grapheme clusters

ARTICLES = frozenset({"a", "an", "the"})


@dataclass(frozen=True, slots=True)
class CaptionEdit:
    """One run of words replaced by another: `source` and `target` phrases without leading articles."""

    source: str
    target: str


class _Spaced(dict[int, str]):
    """A table for `str.translate`: signs of words stay, any other becomes a space; worked out once for each sign."""

    def __missing__(self, code: int) -> str:
        sign = chr(code)
        # Letters, their marks, and digits: to a regular expression's `\w` a vowel sign is no part of a word.
        self[code] = sign if unicodedata.category(sign)[0] in "LMN" or sign in "'-" else " "
        return self[code]


_SPACED = _Spaced()
_ASCII_WORDS = re.compile(r"[a-z0-9]+(?:['-]+[a-z0-9]+)*")
_UNSPACED = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\u30fc]"
_SIGNS = regex.compile(rf"(?={_UNSPACED})\X|(?:(?!{_UNSPACED})\X)+")
_TWO_SIGNS = regex.compile(rf"(?<={_UNSPACED}\p{{M}}*) (?={_UNSPACED})")
SIGNS_OF_A_WORD = 2
"""Of a script without spaces, about so many signs are a word."""


def words(caption: str) -> list[str]:
    """The words of a caption in lower case, in any script; punctuation counts only inside a word ("t-shirt").

    Of scripts that write no spaces, such as Chinese, Japanese and Thai, every sign that a reader sees is a word.
    """
    if caption.isascii():  # the same, several times as fast
        return _ASCII_WORDS.findall(caption.lower())
    text = unicodedata.normalize("NFC", caption.lower()).replace("’", "'")
    parts = (part.strip("'-") for part in text.translate(_SPACED).split())
    return [word for part in parts for word in _SIGNS.findall(part)]


def joined(phrase: Sequence[str]) -> str:
    """Words as they are written: with spaces between, but for the signs of scripts that write none."""
    text = " ".join(phrase)
    return text if text.isascii() else _TWO_SIGNS.sub("", text)


def length(phrase: Sequence[str]) -> int:
    """How many words there are, where some signs together count as one."""
    signs = sum(regex.match(_UNSPACED, word) is not None for word in phrase)
    return len(phrase) - signs + -(-signs // SIGNS_OF_A_WORD)


def same_words(one: str, other: str) -> bool:
    """Whether two captions differ in nothing but articles, case and punctuation."""
    said = ([word for word in words(text) if word not in ARTICLES] for text in (one, other))
    return next(said) == next(said)


def edits(source_caption: str, target_caption: str) -> list[CaptionEdit]:
    """The replaced runs of words, from left to right.

    A phrase may be several words ("fire hydrant") or none (an insertion or a deletion). An article that only follows
    its noun ("a" to "an") is no edit of its own. Words are aligned by longest common runs.
    """
    source, target = words(source_caption), words(target_caption)
    matcher = difflib.SequenceMatcher(None, source, target, autojunk=False)
    found = []
    for operation, i1, i2, j1, j2 in matcher.get_opcodes():
        if operation == "equal" or set(source[i1:i2] + target[j1:j2]) <= ARTICLES:
            continue
        found.append(CaptionEdit(_without_article(source[i1:i2]), _without_article(target[j1:j2])))
    return found


def _without_article(phrase: list[str]) -> str:
    while phrase and phrase[0] in ARTICLES:
        phrase = phrase[1:]
    return joined(phrase)


def marked(source_text: str, target_text: str) -> tuple[list[tuple[str, bool]], list[tuple[str, bool]]]:
    """Both texts cut into runs of words, each with whether it differs from the other text; joined by spaces."""
    texts = source_text.split(), target_text.split()
    # As words, so that neither case nor a full stop is a difference.
    source, target = ([" ".join(words(token)) for token in tokens] for tokens in texts)
    runs: tuple[list[tuple[str, bool]], list[tuple[str, bool]]] = ([], [])
    for operation, i1, i2, j1, j2 in difflib.SequenceMatcher(None, source, target, autojunk=False).get_opcodes():
        for side, tokens, start, end in ((0, texts[0], i1, i2), (1, texts[1], j1, j2)):
            if start < end:
                runs[side].append((" ".join(tokens[start:end]), operation != "equal"))
    return runs
