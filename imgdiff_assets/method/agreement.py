"""Whether a difference caption says what two region captions say, each of its own side, and nothing against them.

Compared are the words that bear meaning, by their stems. Of which side a word is said follows from words for the sides
("on the left", "the original") and from phrases of change ("turned into", "instead of"), which a language lists. The
name of a thing counts most, and where both are called the same, the words that tell them apart.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import pairwise

import snowballstemmer

from imgdiff_assets.method.caption_edit import words
from imgdiff_assets.method.language import Language

SOURCE, TARGET, BOTH = "source", "target", "both"
NAME_SHARE = 0.8
"""What the name of a thing counts beside all else that is said of it."""
HALF = 0.5
"""What a word counts that is said of neither side, and a name in whose place there is another that nobody knows."""
CONTRADICTED, UNFOUNDED = 0.2, 0.5
"""What is left of the score for each contradiction, and for what is claimed beyond the texts or of both sides."""
SHORTEST_PART = 4
"""Letters of a word that may stand for a compound that ends in it, as "phone" for "smartphone"."""
NEAR = 2
"""A number or a colour is of the name that follows within so many words."""

_OPPOSITE = {SOURCE: TARGET, TARGET: SOURCE}
_SENTENCE = re.compile(r"[.!?;]+(?:\s|$)|[。！？；\n]")


@dataclass(frozen=True, slots=True)
class _Word:
    """A word of a difference caption, and the side that it is said of, if any."""

    stem: str
    side: str | None


@lru_cache(maxsize=1 << 16)
def agreement(difference: str, source_text: str, target_text: str, language: Language) -> float:
    """1 where every word of both texts is said of its own side, 0 where none is.

    Less for each contradiction, for each claim that neither text makes, and for each name that is said of both sides.

    0 too where either text has no words, and where the caption says that nothing differs.
    """
    texts = {SOURCE: _content(source_text, language), TARGET: _content(target_text, language)}
    if not all(texts.values()) or _any(language.sides.nothing).search(difference):
        return 0.0
    heads = [_head(text, language) for text in (source_text, target_text)]
    told_apart = {side: [word for word in texts[side] if not _in(word, texts[_other(side)])] for side in texts}
    said = list(_said(difference, frozenset(words(f"{source_text} {target_text}")), language))
    score, faults, blurred = 0.0, 0, 0
    for side, head, text in zip(texts, heads, (source_text, target_text), strict=True):
        names = {head} if head in told_apart[side] else set(told_apart[side]) or {head}
        score += _share_said(texts[side], names, side, said, language) / 2
        faults += any(_sides_of(word, said) - {None} == {_other(side)} for word in told_apart[side])
        blurred += any({SOURCE, TARGET} <= _sides_of(word, said) for word in names.intersection(told_apart[side]))
        faults += _is_denied(_said_of(text, language), head, side, said, language)
    unfounded = _unfounded(difference.lower(), [*texts[SOURCE], *texts[TARGET]], language)
    return round(score * CONTRADICTED**faults * UNFOUNDED ** (unfounded + blurred), 6)


def _share_said(text: Sequence[str], names: set[str], side: str, said: Sequence[_Word], language: Language) -> float:
    """How much of one text is said of its side: the names in it, and all else."""
    credits = {word: _credit(word, side, said) for word in text}
    named = [credits[word] for word in text if word in names] or [0.0]
    other = [credits[word] for word in text if word not in names]
    share = NAME_SHARE if other else 1.0
    name = sum(named) / len(named)
    strangers = [word for word in text if word not in names and not name]
    if any(_stands_before_a_stranger(word, text, side, said, language) for word in strangers):
        name = HALF
    if not other or name == 1.0 == min(other):
        return name
    return share * name + (1 - share) * sum(other) / len(other)


def _credit(word: str, side: str, said: Sequence[_Word]) -> float:
    sides = _sides_of(word, said)
    return 1.0 if side in sides else HALF if None in sides else 0.0


def _sides_of(word: str, said: Sequence[_Word]) -> set[str | None]:
    sides = {other.side for other in said if _alike(word, other.stem)}
    return (sides - {BOTH}) | {SOURCE, TARGET} if BOTH in sides else sides


def _stands_before_a_stranger(
    word: str, text: Sequence[str], side: str, said: Sequence[_Word], language: Language
) -> bool:
    """Whether what is said of a thing is followed by another name than the text's: "steam locomotive"."""
    qualities = _qualities(language)
    return any(
        _alike(word, one.stem)
        and one.side == side
        and following.stem not in qualities
        and not _in(following.stem, text)
        for one, following in pairwise(said)
    )


def _is_denied(text: Sequence[str], head: str, side: str, said: Sequence[_Word], language: Language) -> bool:
    """Whether the name has a number or a colour in the caption that is not the text's."""
    for place, word in enumerate(said):
        if word.side == _other(side) or not _alike(head, word.stem):
            continue
        before = [other.stem for other in said[max(place - NEAR, 0) : place]]
        for group in _exclusive(language):
            own, told = group.intersection(text), group.intersection(before)
            if own and told and not own & told:
                return True
    return False


def _unfounded(difference: str, known: Sequence[str], language: Language) -> int:
    """How many statements have nothing to do with either text."""
    claims = re.compile(language.sides.claim, re.IGNORECASE)
    pieces = re.split(rf"{_SENTENCE.pattern}|,\s|\s(?=and (?:the|its)\b)", difference)
    said = [set(_content(piece, language)) - _qualities(language) for piece in pieces if claims.match(piece.strip())]
    return sum(bool(piece) and not any(_in(word, known) for word in piece) for piece in said)


def _said(difference: str, known: frozenset[str], language: Language) -> Iterator[_Word]:
    """Every word of the caption in order; a word that only joins others has no stem."""
    rules = language.sides
    for pattern, word in rules.called.items():
        difference = re.sub(pattern, word, difference)
    difference = difference.lower()
    cues = {word: side for side in (SOURCE, TARGET, BOTH) for word in getattr(rules, side) - known}
    for sentence in _split(difference, _SENTENCE):
        for part, side in _parts(sentence, cues, language):
            for word, own in _placed(part, cues, language) if side is None else ((word, side) for word in words(part)):
                said = stem(word, language)
                unsaid = word in cues or (word in rules.silent and said not in _qualities(language))
                yield _Word("" if unsaid else said, own)
        yield _Word("", None)


def _parts(sentence: str, cues: dict[str, str], language: Language) -> Iterator[tuple[str, str | None]]:
    """A sentence cut where something becomes something else, with the side of what did and of what it became."""
    for change in language.sides.changes:
        if found := re.search(change, sentence, re.IGNORECASE):
            old, new = found.span("old"), found.span("new")
            told = {name: {cues[word] for word in words(found[name]) if word in cues} for name in ("old", "new")}
            turned = told["new"] == {SOURCE} and SOURCE not in told["old"]
            sides = {old: TARGET if turned else SOURCE, new: SOURCE if turned else TARGET}
            place = 0
            for span in sorted(sides):
                yield sentence[place : span[0]], None
                yield sentence[slice(*span)], sides[span]
                place = span[1]
            yield sentence[place:], None
            return
    yield sentence, None


def _placed(text: str, cues: dict[str, str], language: Language) -> Iterator[tuple[str, str | None]]:
    """The words of a text without a change, with the side that the words for the sides put them on."""
    pieces = [words(piece) for piece in re.split(language.sides.joints, text, flags=re.IGNORECASE)]
    led: str | None = None
    for place, piece in enumerate(pieces):
        told = [index for index, word in enumerate(piece) if word in cues]
        if not told:
            side = led or _trailing(pieces[place + 1 :], cues, language)
            yield from zip(piece, _unless_denied([side] * len(piece), piece, language), strict=True)
            continue
        leading = _leads(piece, told[0], language)
        led = cues[piece[told[-1]]] if leading else None
        sides: list[str | None] = []
        for index in range(len(piece)):
            before, after = [at for at in told if at <= index], [at for at in told if at >= index]
            nearest = (before or after)[-1 if before else 0] if leading else (after or before)[0 if after else -1]
            sides.append(cues[piece[nearest]])
        yield from zip(piece, _unless_denied(sides, piece, language), strict=True)


def _unless_denied(sides: Sequence[str | None], piece: Sequence[str], language: Language) -> list[str | None]:
    """The sides of words, of which those behind a denial are of the other: "there is no dog on the right"."""
    denied = next((place for place, word in enumerate(piece) if word in language.sides.denying), len(piece))
    return [_OPPOSITE.get(str(side), side) if place > denied else side for place, side in enumerate(sides)]


def _leads(piece: Sequence[str], cue: int, language: Language) -> bool:
    """Whether a word for a side stands before all that is said of it."""
    return all(word in language.sides.silent for word in piece[:cue])


def _trailing(pieces: Sequence[Sequence[str]], cues: dict[str, str], language: Language) -> str | None:
    """The side that the next piece tells at its end: "a dog and a ball on the left"."""
    for piece in pieces:
        told = [index for index, word in enumerate(piece) if word in cues]
        if told:
            return None if _leads(piece, told[0], language) else cues[piece[told[0]]]
    return None


def _content(text: str, language: Language) -> list[str]:
    """The stems of the words that bear meaning; all of them where none does."""
    said = words(text)
    return [stem(word, language) for word in said if word not in language.sides.silent] or [
        stem(word, language) for word in said if word not in language.articles
    ]


def _said_of(text: str, language: Language) -> list[str]:
    """The stems of all words, without articles but for the first, which may tell that there is one thing."""
    said = words(text)
    kept = [*said[:1], *(word for word in said[1:] if word not in language.articles)]
    return [stem(word, language) for word in kept]


def _head(text: str, language: Language) -> str:
    """The stem of the word that names the thing."""
    named = re.sub(language.sides.name_ends, "", text.lower()) or text
    return (_content(named, language) or _content(text, language))[-1]


def _split(text: str, pattern: re.Pattern[str]) -> Iterator[str]:
    return (part for part in pattern.split(text) if part.strip())


def _other(side: str) -> str:
    return _OPPOSITE[side]


def _in(word: str, others: Sequence[str]) -> bool:
    return any(_alike(word, other) for other in others)


def _alike(one: str, other: str) -> bool:
    """Whether two stems are one, or one of them ends in the other as a compound does."""
    if one == other:
        return True
    shorter, longer = sorted((one, other), key=len)
    return len(shorter) >= SHORTEST_PART and longer.rstrip("e").endswith(shorter.rstrip("e"))


@lru_cache(maxsize=1 << 14)
def stem(word: str, language: Language) -> str:
    """What the forms of a word have in common."""
    word = language.sides.same.get(word, word)
    return str(_stemmer(language.stemmer).stemWord(word)) if language.stemmer else word


@cache
def _exclusive(language: Language) -> tuple[frozenset[str], ...]:
    """Stems of which one contradicts another of its set."""
    return tuple(frozenset(stem(word, language) for word in group) for group in language.sides.exclusive)


@cache
def _qualities(language: Language) -> frozenset[str]:
    """The stems of all those, and none."""
    return frozenset({""}).union(*_exclusive(language))


@cache
def _stemmer(name: str) -> "snowballstemmer.stemmer":
    return snowballstemmer.stemmer(name)


@cache
def _any(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns) or "(?!)", re.IGNORECASE)
