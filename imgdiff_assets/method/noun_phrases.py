"""What a captioner says, without how it is said: in "Sure! The object is a wine glass." it is "a wine glass".

A sentence about the region needs a name for it. What stands before and behind the name is cut by patterns that a
language lists; a sentence becomes a phrase ("a dog is lying there", "a dog lying there"). An answer that names nothing
has no phrase.
"""

import re
from collections import Counter
from functools import lru_cache

import regex  # knows scripts and pictographs

from imgdiff_assets.method.answers import without_thoughts
from imgdiff_assets.method.language import PhraseRules
from imgdiff_assets.method.special_tokens import without_tokens

_TURNS = re.compile(r"\A.*\b(?:ASSISTANT|Assistant):\s", re.DOTALL)
_FENCE = re.compile(r"```\w*\s*")
_LINK = re.compile(r"!?\[([^\[\]]+)\]\([^()]*\)")
_MARKS = re.compile(r"\*+|__|`|~~|[\[\]]|(?<!\w)_(?=\w)|(?<=\w)_(?!\w)")
_HEADING = re.compile(r"^#+ ([A-Z]\w*(?: \w+)*?):?\s+(?=[A-Z]\w* [a-z])")
_HEADED_LIST = re.compile(r"^#+ [\w ]+?:?\s+(?=[-•*+]\s)")
_LISTED = re.compile(r"^(?:#+\s*|>\s*|[-•–]\s+|\(?\d{1,2}[.)]\s+)+")
_STAR = re.compile(r"(?:^|(?<=\s))[*+](?=\s)")
_PICTOGRAPHS = regex.compile(r"[\p{Extended_Pictographic}\p{Emoji_Modifier}\uFE0F\u200D--[©®™]]+", regex.V1)
_JSON_TEXT = re.compile(r"[\"']\s*:\s*[\"'](.+?)[\"']\s*[,}\]]")
_BOX = re.compile(r"\s*[\[(][\d., ]+[\])]")
_REMARK = re.compile(r"\s*\([^()]*\)")
_NEXT_ITEM = re.compile(r"(?<!:)\s(?:\d{1,2}[.)]|[-•])\s.*")
_LABEL = r"(?<=\w)\s(?=[A-Z]\w*:\s)"
_LABELLED = re.compile(f"(?P<ended>){_LABEL}")
_ITEM = re.compile(rf"(?P<ended>[.!?;:,]?)(?:\s(?:\d{{1,2}}[.)]|[-•])\s|{_LABEL})")
_SENTENCE = re.compile(r"(?<=[.!?])(?<!\b\w\.)(?<!\b[A-Z]\w\.)\s|(?<=[。！？])")
_UNTIDY = re.compile(r"\s+(?=[.,;:!?]+(?:\s|$))|(?<=[!?])[!?]+|[,;:]+(?=[.!?])")
_WHOLE = re.compile(r".*[.!?。！？][\"”’)]*(?=\s|$)", re.DOTALL)
_STOP = re.compile(
    r"[.!?…]+[\"”’')]*(?=\s|$)|[。！？；]|\s*;|\s[–—-]+\s|—|(?:\s[A-Z]\w*(?: [a-z]+)?)?:\s|(?<=[a-z])\.(?=[A-Z])"
)
_QUOTES = re.compile(r"[\"“”„«»「」『』]")
_QUOTED = re.compile(r"^[\"“„«「『‘'](.+?)[\"”“»」』’'][.,]?(?=\s|$)")
_ABBREVIATION = re.compile(r"(?:\b[A-Z]|\b(?:St|Mr|Mrs|Ms|Dr|No|vs|Mt|Jr|Sr|approx|ca|bzw|z\.B))$")

MOST_SENTENCES = 3
"""What a model goes on to say is talk: it was asked for one or two."""


@lru_cache(maxsize=1 << 16)
def noun_phrase(answer: str, rules: PhraseRules, lead_ins: tuple[str, ...] = ()) -> str | None:
    """What the answer names, to stand within a sentence: without a full stop, its article in lower case.

    None where it names nothing. `lead_ins` are a recipe's own, beside those of the rules.
    """
    text = _first_item(answer)
    lead_in, nothing = _any((*lead_ins, *rules.greetings, *rules.lead_ins)), _any((*rules.refusals, *rules.nothing))
    inside = False
    while text:
        said = text[: _end(text)]
        if nothing.search(said):
            return None
        if found := lead_in.match(text):
            # Behind "the image shows" a capital letter is a name's; behind a label or a greeting it begins a sentence.
            inside = found[0].rstrip()[-1:].isalnum()
            text = _LISTED.sub("", text[found.end() :].lstrip(" ,.:;!"))
        elif found := _QUOTED.match(text):
            text = found[1]
        else:
            break
    phrase = _trimmed(text[: _end(text)], rules.clauses, rules)
    if phrase.isupper() and " " in phrase:
        phrase = phrase.lower()
    phrase = _trimmed(_without_verb(phrase, rules), rules.second_clauses, rules)
    if not phrase or _any(rules.empty).fullmatch(phrase):
        return None
    return _completed(phrase if inside else begun(phrase, rules), rules)


@lru_cache(maxsize=1 << 16)
def statement(answer: str, rules: PhraseRules) -> str | None:
    """What the answer states, in its first sentences: without greeting, farewell, form and an unfinished last one.

    What is listed becomes sentences. None where the answer refuses to state anything, or draws a table.
    """
    text, listed, greeting = _but_for_lists(answer), False, _any(rules.greetings)
    while found := _LISTED.match(text) or greeting.match(text):
        listed |= found.re is _LISTED
        text = text[found.end() :].strip()
    breaks = _ITEM if listed else _LABELLED
    if ended := [item["ended"] for item in breaks.finditer(text)]:
        text = breaks.sub(lambda item: f"{item['ended'] or '.'} ", text) + ("" if any(ended) else ".")
    if found := _QUOTED.fullmatch(text):
        text = found[1]
    if len(_QUOTES.findall(text)) % 2:
        text = _QUOTES.sub("", text)
    whole = _WHOLE.match(text)
    sentences = Counter(_SENTENCE.split(_UNTIDY.sub("", whole[0] if whole else text)))
    # What is said again and again is not about the picture.
    told = [one for one, times in sentences.items() if times == 1] or list(sentences)
    said = [one for one in told if not _any(rules.farewells).search(one)]
    text = " ".join(said[:MOST_SENTENCES]).strip()
    useless = "|" in text or _any(rules.refusals).search(text) or not any(map(str.isalnum, text))
    return None if useless else text


def _first_item(answer: str) -> str:
    """The first of the things that are listed in an answer, if any are."""
    return _NEXT_ITEM.sub("", unformed(answer))


@lru_cache(maxsize=1 << 16)
def unformed(answer: str) -> str:
    """The answer on one line and without its form: thoughts, tokens, JSON, markdown, pictographs, numbers of boxes."""
    return _LISTED.sub("", _but_for_lists(answer))


def _but_for_lists(answer: str) -> str:
    """The answer without its form, but for the marks of a list."""
    text = _TURNS.sub("", without_tokens(without_thoughts(answer)))
    if text.lstrip("` \njson").startswith(("{", "[")) and (value := _JSON_TEXT.search(text)):
        text = value[1]
    text = _HEADED_LIST.sub("", _PICTOGRAPHS.sub(" ", text).lstrip())
    text = _LINK.sub(r"\1", _FENCE.sub(" ", _HEADING.sub(r"\1: ", text)))
    text = _MARKS.sub("", _STAR.sub("-", _BOX.sub("", text)))
    return " ".join(text.split())


def _end(text: str) -> int:
    """Where the first sentence of a text ends."""
    for stop in _STOP.finditer(text):
        if not (stop[0] == "." and _ABBREVIATION.search(text[: stop.start()])):
            return stop.start()
    return len(text)


def _trimmed(phrase: str, clauses: tuple[str, ...], rules: PhraseRules) -> str:
    """Without remarks, clauses, tails, and quotation marks of which one is missing or that hold all of it."""
    phrase = _REMARK.sub("", phrase)
    if found := _any(clauses).search(phrase):
        phrase = phrase[: found.start()]
    before = ""
    while phrase != before:
        before, phrase = phrase, phrase.strip(" ,;:-–—")
        if found := _any(tuple(f"(?:{tail})$" for tail in rules.tails)).search(phrase):
            phrase = phrase[: found.start()]
    if len(_QUOTES.findall(phrase)) % 2 or _QUOTED.fullmatch(phrase):
        phrase = _QUOTES.sub("", phrase)
    return phrase


def _without_verb(phrase: str, rules: PhraseRules) -> str:
    """ "a dog is lying there" as "a dog lying there", "a dog sits there" as "a dog sitting there"."""
    copula = _any((rf"\s(?:{rules.copula})\b",)).search(phrase)
    relative = _any((rf"\b(?:{rules.relatives})\b",)).search(phrase)
    if copula and not (relative and relative.start() < copula.start()):
        rest = phrase[copula.end() :].strip()
        fits = _any((rules.follows,)).match(rest)
        return f"{phrase[: copula.start()]} {rest}" if fits else phrase[: copula.start()]
    words = phrase.split(" ")
    for place in range(2, len(words) if is_determiner(phrase, rules) else 0):
        before, verb = words[place - 1], words[place].lower()
        if relative and len(" ".join(words[:place])) > relative.start():
            break
        named = not is_determiner(before, rules) and not _any((rules.follows,)).match(before)
        several = _any((rules.plurals,)).search(" ".join(words[:place]))
        if verb in rules.verbs and named and (verb not in rules.plural_verbs or several):
            return " ".join([*words[:place], rules.verbs[verb], *words[place + 1 :]])
    done = _any((rules.finite,)).search(phrase)
    if done and not (relative and relative.start() < done.end()):
        start, end = done.span(done.lastindex or 0)
        return phrase[:start] + rules.participle(phrase[start:end]) + phrase[end:]
    return phrase


def is_determiner(word: str, rules: PhraseRules) -> bool:
    """Whether a word, or a phrase by its first, says which or how many."""
    return _any((rules.determiner,)).match(word) is not None


def is_noun_phrase(text: str, rules: PhraseRules) -> bool:
    """Whether a text can stand as an object of a sentence; of one that may be a sentence itself this is not said."""
    return _without_verb(text, rules) == text and not _any((rules.verb_like,)).search(text)


def begun(phrase: str, rules: PhraseRules) -> str:
    """Without the capital letter of a sentence's beginning, unless it is that of a name."""
    first, _, rest = phrase.partition(" ")
    named = first[1:] != first[1:].lower() or first[1:2] == "-" or rest[:1].isupper()
    named = named or _any((rules.proper,)).match(first) is not None
    return phrase if named else first.lower() + phrase[len(first) :]


def _completed(phrase: str, rules: PhraseRules) -> str:
    """With its first word in lower case where it is a determiner, and with one where it lacks it."""
    if found := _any((rules.determiner,)).match(phrase):
        return found[0].lower() + phrase[found.end() :]
    return rules.article(phrase)


@lru_cache(maxsize=256)
def _any(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns) or "(?!)", re.IGNORECASE)
