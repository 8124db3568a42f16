"""Captions that are rejected before the rewriter reads them: too long, of unknown words, in another language."""

import numpy as np

from imgdiff_assets.common.aliases import Booleans, Columns
from imgdiff_assets.method.caption_edit import length, words
from imgdiff_assets.method.language import is_of, language_named
from imgdiff_assets.stages import avoidance
from imgdiff_assets.stages.prompt_pairs_settings import PromptPairsSettings
from imgdiff_assets.stages.steps import Canaries, Filter


def _known(columns: Columns, settings: PromptPairsSettings) -> Booleans:
    known = {word.lower() for phrase in settings.known_words for word in phrase.split()}
    return np.array([not known or known.issuperset(words(text)) for text in columns["source_caption"]], dtype=bool)


def _of_the_language(columns: Columns, settings: PromptPairsSettings) -> Booleans:
    language = language_named(settings.language) if settings.language is not None else None
    return np.array([language is None or is_of(text, language) for text in columns["source_caption"]], dtype=bool)


def _canary_foreign(settings: PromptPairsSettings) -> Canaries:
    """One row in the language, and one in another script."""
    if settings.language is None:
        return Canaries([{"source_caption": "a dog"}], [])
    spoken = language_named(settings.language)
    own = " ".join(sorted(spoken.common)) if spoken.spaces else "一只狗"
    return Canaries([{"source_caption": own}], [{"source_caption": "собака на диване"}])


def _short(columns: Columns, settings: PromptPairsSettings) -> Booleans:
    return np.array([length(words(text)) <= settings.max_words for text in columns["source_caption"]], dtype=bool)


def _canary_long(settings: PromptPairsSettings) -> Canaries:
    return Canaries(
        kept=[{"source_caption": "word " * settings.max_words}],
        rejected=[{"source_caption": "word " * (settings.max_words + 1)}],
    )


def _canary_unknown(settings: PromptPairsSettings) -> Canaries:
    known = " ".join(settings.known_words)
    strange = f"x{''.join(words(known))}"
    return Canaries([{"source_caption": known}], [{"source_caption": strange}] if settings.known_words else [])


FILTERS = (
    Filter(
        "too_long",
        ("source_caption",),
        _short,
        "the caption has too many words for the image models",
        _canary_long,
    ),
    Filter(
        "unknown_words",
        ("source_caption",),
        _known,
        "the caption has words that the models have never seen",
        _canary_unknown,
    ),
    Filter(
        "other_language",
        ("source_caption",),
        _of_the_language,
        "the caption is in another language than the recipe's",
        _canary_foreign,
    ),
    avoidance.IN_CAPTION,
)
