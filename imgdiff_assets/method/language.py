"""What a language is to this project: lists of words that comparisons and sentences need, and how it is told."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

import regex  # knows scripts and grapheme clusters

from imgdiff_assets.method import languages

DEFAULT_LANGUAGE = "english"


@dataclass(frozen=True, eq=False, kw_only=True)
class PhraseRules:
    """How captioners wrap up what they say; regular expressions, whatever the case.

    `greetings` begin an answer without being part of it, sentences with one of `farewells` end it so. Of the name
    of a thing `lead_ins` are cut from the beginning too, as long as one fits, `tails` from the end, and `clauses`
    with all behind them, as are `second_clauses` where a phrase has lost its first verb. With one of `refusals`
    nothing is said, with one of `nothing` no thing is named, nor by a phrase that is one of `empty`. A `copula` is
    dropped where what is behind it `follows` a name as it is, else with what is behind it; `verbs` have another
    form behind a name, which is told (those of `plural_verbs` only behind `plurals`), and what is `verb_like` may
    be another; behind one of `relatives` all verbs stay. Another verb is what a group of `finite` holds, and has
    the form that `participle` tells. A word that is `proper` keeps its capital letter. A phrase that begins with a
    `determiner` is complete, any other is completed by `article`.
    """

    greetings: tuple[str, ...] = ()
    farewells: tuple[str, ...] = ()
    lead_ins: tuple[str, ...] = ()
    tails: tuple[str, ...] = ()
    clauses: tuple[str, ...] = ()
    second_clauses: tuple[str, ...] = ()
    refusals: tuple[str, ...] = ()
    nothing: tuple[str, ...] = ()
    empty: tuple[str, ...] = ()
    copula: str = "(?!)"
    follows: str = "(?!)"
    verbs: Mapping[str, str] = field(default_factory=dict)
    plural_verbs: frozenset[str] = frozenset()
    plurals: str = "(?!)"
    finite: str = "(?!)"
    participle: Callable[[str], str] = str
    verb_like: str = "(?!)"
    relatives: str = "(?!)"
    proper: str = "(?!)"
    determiner: str = "(?!)"
    article: Callable[[str], str] = str


@dataclass(frozen=True, eq=False, kw_only=True)
class SideRules:
    """How a sentence says which of two images shows what; regular expressions but for the words, whatever the case.

    `source` and `target` are words for the sides, `both` for the two together; what a side is `called` stands for one
    of these words, as "image 1" for "first". Each of `changes` has the groups `old` and `new`: what stands in them is
    of the source and of the target. Between two `joints` all is said of one side, but what stands behind a `denying`
    word, of the other. `nothing` says that the images are alike. `claim` begins a statement of its own. `silent`
    words name nothing that an image shows. Of a set in `exclusive` one word contradicts another before the same name;
    the same may be written in two ways (`same`). `name_ends` is where the part of a noun phrase ends whose last word
    names the thing.
    """

    source: frozenset[str] = frozenset()
    target: frozenset[str] = frozenset()
    both: frozenset[str] = frozenset()
    called: Mapping[str, str] = field(default_factory=dict)
    changes: tuple[str, ...] = ()
    joints: str = r"[,:，：、]"
    denying: frozenset[str] = frozenset()
    nothing: tuple[str, ...] = ()
    claim: str = "(?!)"
    silent: frozenset[str] = frozenset()
    exclusive: tuple[frozenset[str], ...] = ()
    same: Mapping[str, str] = field(default_factory=dict)
    name_ends: str = "(?!)"


@dataclass(frozen=True, eq=False, kw_only=True)
class Sentences:
    """How questions and answers are put; a language without them is asked about, but makes no samples.

    `questions` are wordings by task. `region` is what `{region}` in one becomes, `corners` what stands there where
    no box is drawn, with `{box}` and `{convention}`; `conventions` tell how a box is written. `both_shown` is the
    subject of `grounding` (`{first}`, `{second}`), `replaced` the edit (`{old}`, `{new}`) of an object and
    `changed` that of any other kind, `added` and `removed` those of something that is in one image alone, `in_common`
    and, of what is no noun phrase, `in_common_quoted` what both images show (`{shown}`), in which `something` stands
    for what differs. `told_apart` says what the left (`{source}`) and the right image (`{target}`) show. `answers` are
    those of `same_or_different`, `side_by_side` introduces two images in one picture.
    `definite` makes a phrase one that is known.
    """

    questions: Mapping[str, tuple[str, ...]]
    region: str
    corners: str
    conventions: Mapping[str, str]
    both_shown: str
    replaced: str
    changed: str
    in_common: str
    in_common_quoted: str
    something: str
    same: str
    different: str
    told_apart: str
    side_by_side: str
    added: str
    removed: str
    definite: Callable[[str], str] = str


@dataclass(frozen=True, slots=True, eq=False)
class WordGroup:
    """Words for one matter in the singular, with `*` for any letters; `exceptions` are words that only look so."""

    words: frozenset[str]
    exceptions: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Language:
    """One language; all words are in lower case.

    `scripts` are the Unicode scripts that it is written in, `foreign_scripts` others that only its neighbours mix
    with them, `spaces` says whether words stand apart. `common` are words that most sentences have, and that tell
    it from others of its script. What agrees with a word that is replaced may change with it: `articles` come, go
    and change, of each set in `agreeing` one word may stand for another, and a word beside the replaced one may
    trade one of `endings` for another. `joining` words stand between the names of two things. `kinds` are words by
    the kind of change that replacing one by another is, as in `{"count": {"one", "two"}}`; words with
    `verb_endings` are what is done, unless they stand behind an article, an attribute or one of `before_nouns`.
    `stemmer` is what Snowball calls the rules for a word's forms, `plurals` are those that it does not know, with
    their singular. `phrases` find a name in an answer, `sides` say of which image a word is said. `slips` are regular
    expressions for what stands in no good sentence. `groups` are words by what a recipe calls them that avoids them;
    of `inflections`, an ending and what may stand in its place in the singular.
    """

    name: str
    scripts: tuple[str, ...] = ("Latin",)
    foreign_scripts: tuple[str, ...] = ()
    spaces: bool = True
    common: frozenset[str] = frozenset()
    articles: frozenset[str] = frozenset()
    agreeing: tuple[frozenset[str], ...] = ()
    endings: tuple[str, ...] = ()
    joining: frozenset[str] = frozenset()
    kinds: Mapping[str, frozenset[str]] = field(default_factory=dict)
    verb_endings: tuple[str, ...] = ()
    before_nouns: frozenset[str] = frozenset()
    stemmer: str | None = None
    plurals: Mapping[str, str] = field(default_factory=dict)
    sentences: Sentences | None = None
    phrases: PhraseRules = PhraseRules()
    sides: SideRules = SideRules()
    slips: tuple[str, ...] = ()
    groups: Mapping[str, WordGroup] = field(default_factory=dict)
    inflections: tuple[tuple[str, str], ...] = ()


def listed(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


def language_names() -> list[str]:
    """The languages that a recipe can name."""
    return sorted(module.name for module in iter_modules(languages.__path__))


@cache
def language_named(name: str) -> Language:
    """Raises LookupError for a language that there is no file of."""
    if name not in language_names():
        raise LookupError(f"there is no language {name!r}; there are {', '.join(language_names())}")
    language: Language = import_module(f"{languages.__name__}.{name}").LANGUAGE
    return language


def sentences_of(language: Language) -> Sentences:
    """Raises LookupError for a language in which no samples can be made."""
    if language.sentences is None:
        raise LookupError(f"there are no questions and answers in {language.name}")
    return language.sentences


def spoken_sentences() -> list[Sentences]:
    """Those of every language that has any."""
    return [found for name in language_names() if (found := language_named(name).sentences) is not None]


_OTHERS = {
    "spanish": (
        "el los las un bajo contra dos tres muy pero una unos unas del "
        "al de en con sobre por para y es está están su se que junto"
    ),
    "french": (
        "le les un ce cette contre sous chez entre deux trois qui une des du "
        "de la au aux en dans sur avec et est sont pour qui son sa près"
    ),
    "italian": (
        "il lo gli un due tre sotto contro tra vicino una uno dei "
        "del della di nel nella su con e è sono che una sul sulla"
    ),
    "portuguese": (
        "o os dois duas perto sob entre uma um umas dos da do de em no na com e é são sobre por que sua seu ao"
    ),
    "dutch": "een onder tussen tegen twee drie het de van op met en naar bij zijn is staat naast aan voor die",
}
"""Words that most sentences of other languages have, which a recipe cannot name but must not be mistaken for."""


def is_of(text: str, language: Language) -> bool:
    """Whether a text is written in the language, as far as its letters and its commonest words tell.

    A text of few words may have none of the latter: it is taken for the language unless it has another's.
    """
    letters = len(regex.findall(r"\p{L}", text))
    if 2 * len(regex.findall(_letters_of(language.scripts), text, regex.V1)) < letters:
        return False
    if language.foreign_scripts and regex.search(_letters_of(language.foreign_scripts), text, regex.V1):
        return False
    said = regex.findall(r"[\p{L}\p{M}]+", text.lower())
    hits = {name: sum(word in common for word in said) for name, common in _common().items()}
    return hits.get(language.name, 0) >= max(hits.values()) if language.spaces else True


def _letters_of(scripts: tuple[str, ...]) -> str:
    return "[[" + "".join(rf"\p{{{script}}}" for script in scripts) + r"]&&\p{L}]"


@cache
def _common() -> dict[str, frozenset[str]]:
    named = {name: language_named(name) for name in language_names()}
    ours = {name: language.common for name, language in named.items() if language.spaces}
    return {**{name: listed(text) for name, text in _OTHERS.items()}, **ours}


def sentences_in(text: str) -> Sentences:
    """Those of the language that a question is in; English ones where none is recognised."""
    spoken = [language_named(name) for name in language_names()]
    found = (language.sentences for language in spoken if language.sentences is not None and is_of(text, language))
    return next(found, None) or sentences_of(language_named(DEFAULT_LANGUAGE))
