"""Captions, and rewrites of them, that name what a recipe avoids: rejected. Off unless `prompt_pairs.avoid` is set."""

from typing import Any

import numpy as np

from imgdiff_assets.common.aliases import Booleans, Columns
from imgdiff_assets.method.avoided import avoided_word
from imgdiff_assets.method.language import DEFAULT_LANGUAGE, Language, language_named
from imgdiff_assets.stages.steps import Canaries, Filter

SETTING = "avoid"
HARMLESS = "zzz"
"""No word of any entry."""


def _language(settings: Any) -> Language:
    return language_named(settings.language or DEFAULT_LANGUAGE)


def _filter(name: str, column: str, reason: str) -> Filter:
    def passes(columns: Columns, settings: Any) -> Booleans:
        language = _language(settings)
        return np.array([avoided_word(text, settings.avoid, language) is None for text in columns[column]], dtype=bool)

    def canaries(settings: Any) -> Canaries:
        """A text without any, and each entry itself; of a group one of its words."""
        language = _language(settings)
        said = [
            sorted(group.words)[-1] if (group := language.groups.get(entry.lower())) else entry
            for entry in settings.avoid
        ]
        rejected = [{column: text.replace("*", "")} for text in said]
        return Canaries([{column: HARMLESS}], rejected)

    return Filter(name, (column,), passes, reason, canaries, section=SETTING, of_stage=True)


IN_CAPTION = _filter("avoided", "source_caption", "the caption names what the recipe avoids")
IN_REWRITE = _filter("avoided_in_rewrite", "target_caption", "the rewritten caption names what the recipe avoids")
