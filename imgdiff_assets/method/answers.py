"""What a language model's answer holds: objects, and the new caption, wherever it stands among other words.

No list of phrases decides what is the caption and what is talk: the caption is what is closest to the old one.
"""

import ast
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from imgdiff_assets.method.caption_edit import edits, same_words, words
from imgdiff_assets.method.special_tokens import without_tokens

MOST_SEGMENTS = 40
"""Of a line, more sentences than this are not looked at."""

MOST_WORDS = 4
"""A run of more changed words is hardly one phrase."""

MOST_UNREAD = 100
"""Of a text, behind more braces than these that begin no object no other is looked for."""

_THOUGHT = re.compile(r"<(think|thinking|thought|reasoning|analysis)>.*?</\1>", re.DOTALL | re.IGNORECASE)
_THOUGHT_BEFORE = re.compile(r"\A.*</(?:think|thinking|thought|reasoning|analysis)>", re.DOTALL | re.IGNORECASE)
_THOUGHT_UNFINISHED = re.compile(r"<(?:think|thinking|thought|reasoning|analysis)>.*", re.DOTALL | re.IGNORECASE)
_FENCE = re.compile(r"^\s*(?:```|~~~)\w*\s*$", re.MULTILINE)
_COMMA_TOO_MANY = re.compile(r",(?=\s*[}\]])")
_QUOTED = re.compile(
    r"“([^“”]+)”|„([^„“”]+)[“”]|«([^«»]+)»|「([^「」]+)」|『([^『』]+)』|\"([^\"]+)\"|‘([^‘’]+)’|`([^`]+)`"
)
_MARKUP = re.compile(r"\*\*|__|~~|[`#>]|(?<!\w)[*_](?=\w)|(?<=[\w.!?])[*_](?!\w)|</?[a-z]{1,10}>")
_BULLET = re.compile(r"^\s*(?:[-*•·–—]|\(?(?:\d{1,2}|[a-zA-Z])[.):])\s+")
_BREAK = re.compile(r"(?<=[.!?:;])\s+|(?<=[。！？：；])|\s+(?=[(\[（])|\s+[-–—=]*[->→⇒]\s+|[→⇒]|\s+\|\s+|\s+(?=\*)")
_EDGES = " \t\n\"'“”„‘’«»「」『』`*_|()[]（）"


def without_thoughts(answer: str) -> str:
    """The answer without what a model thought before it; of thoughts that were cut off nothing is left."""
    return _THOUGHT_UNFINISHED.sub("", _THOUGHT_BEFORE.sub("", _THOUGHT.sub("", answer))).strip()


def objects_in(text: str) -> list[dict[str, Any]]:
    """The JSON objects in a text, outermost ones only; a comma too many and Python's quotes are forgiven."""
    return _apart(text)[0]


def _apart(text: str) -> tuple[list[dict[str, Any]], str]:
    """The objects in a text, and the text around them."""
    found, around, start, decoder = [], "", 0, json.JSONDecoder(strict=False)
    text = _COMMA_TOO_MANY.sub("", text)
    unread = 0
    while (brace := text.find("{", start)) >= 0 and unread < MOST_UNREAD:
        try:
            value, end = decoder.raw_decode(text, brace)
        except (ValueError, RecursionError):
            value, end = _python_object(text, brace)
            unread += value is None
        around += text[start : brace if value is not None else end]
        if value is not None:
            found.append(value)
        start = end
    return found, around + text[start:]


def _python_object(text: str, start: int) -> tuple[dict[str, Any] | None, int]:
    """The object written as Python would that begins here, and where it ends; None and the next place if none does."""
    end = text.find("}", start) + 1
    try:
        value = ast.literal_eval(text[start:end])
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None, start + 1
    return (value, end) if isinstance(value, dict) else (None, start + 1)


def is_cut_off(answer: str) -> bool:
    """Whether an answer ends in the middle: of its thoughts, or of the object that it consists of."""
    said = without_thoughts(answer)
    if not said:
        return bool(answer.strip())
    said = _FENCE.sub("", said).strip()
    return said.startswith("{") and not objects_in(said) and said.count("{") > said.count("}")


@dataclass(frozen=True, slots=True)
class Found:
    """The new caption in an answer: None where there is none, or where there are several that say different things."""

    caption: str | None
    ambiguous: bool = False


def find_caption(answer: str, source: str, most_words: int = MOST_WORDS) -> Found:
    """The caption in an answer that is closest to `source` and is not `source`, which is taken if there is no other.

    Of its lines, their sentences, quoted strings and the values of JSON objects, without markdown, numbering, labels
    and special tokens, only those are looked at that keep half of the words of `source`. Where several differ from it
    by one phrase of at most `most_words` words, and from each other, the answer is ambiguous.
    """
    old = words(source)
    candidates: dict[tuple[str, ...], str] = {}
    for text in _candidates(without_thoughts(answer)):
        new = words(text)
        if new and len(new) <= 2 * len(old) + 2 * most_words and 2 * _kept(old, new) >= len(old):
            candidates.setdefault(tuple(new), text)
    same = [text for text in candidates.values() if same_words(source, text)]
    # A label before the old caption is no change of it.
    changed = {new: text for new, text in candidates.items() if text not in same and not (same and _holds(new, old))}
    if not changed:
        return Found(next(iter(same), None))
    closest = min(changed, key=lambda new: (_distance(old, new), len(new)))
    rivals = [new for new, text in changed.items() if _is_one_change(source, text, most_words)]
    told = [new for new in rivals if not _holds(new, closest) and not _holds(closest, new)]
    return Found(None, ambiguous=True) if told else Found(changed[closest])


def _candidates(answer: str) -> Iterator[str]:
    """Every part of an answer that may be a caption, cleaned."""
    objects, answer = _apart(answer)
    for value in objects:
        for text in _strings(value):
            yield from _parts(text)
    for quoted in _QUOTED.finditer(answer):
        yield plain(next(filter(None, quoted.groups())))
    yield from _parts(answer)


def _parts(text: str) -> Iterator[str]:
    lines = [line for line in _FENCE.sub("", text).splitlines() if line.strip()]
    for line in lines:
        line = _BULLET.sub("", without_tokens(_MARKUP.sub("", _BULLET.sub("", line))))
        breaks = [match.span() for match in _BREAK.finditer(line)][:MOST_SEGMENTS]
        starts, ends = [0, *(end for _, end in breaks)], [*(start for start, _ in breaks), len(line)]
        for first, start in enumerate(starts):
            for end in ends[first : first + 6]:
                yield plain(line[start:end])
    yield plain(without_tokens(" ".join(lines)))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _strings(inner)


def plain(text: str) -> str:
    """Without markdown, special tokens, quotes around it, and halves of signs, which JSON can write."""
    text = text.encode("utf-8", "ignore").decode("utf-8")
    return " ".join(_MARKUP.sub("", without_tokens(text)).split()).strip(_EDGES)


def _kept(old: list[str], new: list[str]) -> int:
    """How many words of the old caption the new one has, in order."""
    row = [0] * (len(new) + 1)
    for word in old:
        above = row
        row = [0]
        for other, (diagonal, up) in zip(new, pairwise(above), strict=True):
            row.append(diagonal + 1 if word == other else max(up, row[-1]))
    return row[-1]


def _distance(old: list[str], new: tuple[str, ...]) -> int:
    """Words of either caption that the other lacks."""
    return len(old) + len(new) - 2 * _kept(old, list(new))


def _is_one_change(source: str, target: str, most_words: int) -> bool:
    changes = edits(source, target)
    return len(changes) == 1 and all(
        1 <= len(words(phrase)) <= most_words for phrase in (changes[0].source, changes[0].target)
    )


def _holds(longer: tuple[str, ...], shorter: Sequence[str]) -> bool:
    width = len(shorter)
    return any(longer[start : start + width] == tuple(shorter) for start in range(len(longer) - width + 1))
