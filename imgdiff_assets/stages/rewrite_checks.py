"""Rewrites that are rejected: without a caption, about the task, unchanged, of another kind, of several changes."""

from collections.abc import Callable
from typing import Any

import numpy as np

from imgdiff_assets.common.aliases import Booleans, Columns
from imgdiff_assets.method.caption_edit import length, words
from imgdiff_assets.method.change import KINDS
from imgdiff_assets.method.kind import OBJECT_REPLACED, SIDES, kind_asked, kind_named
from imgdiff_assets.stages import avoidance, named_rewrites
from imgdiff_assets.stages.prompt_pairs_settings import PromptPairsSettings
from imgdiff_assets.stages.steps import Canaries, Filter


def _answered(columns: Columns, settings: PromptPairsSettings) -> Booleans:
    return np.array([bool(text) for text in columns["target_caption"]], dtype=bool)


def _about_the_object(columns: Columns, settings: PromptPairsSettings) -> Booleans:
    phrases = [f" {phrase} " for phrase in settings.task_phrases]

    def talks(source: str, target: str) -> bool:
        text = f" {' '.join(words(target))} "
        said = [phrase for phrase in phrases if phrase in text]
        return bool(said) and not all(phrase in f" {' '.join(words(source))} " for phrase in said)

    pairs = zip(columns["source_caption"], columns["target_caption"], strict=True)
    return np.array([not talks(source, target) for source, target in pairs], dtype=bool)


def _changed(columns: Columns, settings: PromptPairsSettings) -> Booleans:
    return np.asarray(columns["edit_count"] > 0, dtype=bool)


def _one_change(columns: Columns, settings: PromptPairsSettings) -> Booleans:
    return np.asarray(columns["edit_count"] == 1, dtype=bool)


def _replaced(columns: Columns, settings: PromptPairsSettings) -> Booleans:
    def one_object(text: Any) -> bool:
        return 1 <= length(words(text or "")) <= settings.max_object_words

    def replaced(asked: str | None, *objects: Any) -> bool:
        kind = kind_asked(asked)
        named = [[change[SIDES.index(side)] for side in kind.sides] for change in kind.changes(*objects)]
        return all(one_object(phrase) for phrases in named for phrase in phrases)

    rows = zip(columns["asked_kind"], columns["source_object"], columns["target_object"], strict=True)
    return np.array([replaced(*row) for row in rows], dtype=bool)


def _wanted(columns: Columns, settings: PromptPairsSettings) -> Booleans:
    def wanted(asked: str | None, found: str | None) -> bool:
        return found is None or found in (settings.kinds if asked is None else (kind_named(asked).called,))

    return np.array(
        [wanted(*row) for row in zip(columns["asked_kind"], columns["change_kind"], strict=True)], dtype=bool
    )


def _canary_kinds(settings: PromptPairsSettings) -> Canaries:
    """For rows of no kind, and for those of each kind that is asked for: what they may be, and all else."""
    kept, rejected = [], []
    for asked in (None, *(name for name in settings.kind_shares if name != OBJECT_REPLACED)):
        may_be = settings.kinds if asked is None else [kind_named(asked).called]
        kept += [{"asked_kind": asked, "change_kind": found} for found in (None, *may_be)]
        rejected += [{"asked_kind": asked, "change_kind": found} for found in (*KINDS, "thing") if found not in may_be]
    return Canaries(kept, rejected)


def _canary_silent(settings: PromptPairsSettings) -> Canaries:
    return Canaries(kept=[{"target_caption": "a cat"}], rejected=[{"target_caption": None}])


def _canary_talking(settings: PromptPairsSettings) -> Canaries:
    plain = {"source_caption": "a dog", "target_caption": "a cat"}
    talking = [{"source_caption": "a dog", "target_caption": f"{phrase} a cat"} for phrase in settings.task_phrases]
    return Canaries([plain], talking)


def _canary_edits(kept: int, rejected: int) -> Callable[[PromptPairsSettings], Canaries]:
    return lambda settings: Canaries([{"edit_count": kept}], [{"edit_count": rejected}])


def _canary_inserted(settings: PromptPairsSettings) -> Canaries:
    swapped = {"asked_kind": None, "source_object": "dog", "target_object": "cat"}
    too_much = " ".join(["word"] * (settings.max_object_words + 1))
    return Canaries([swapped], [{**swapped, "source_object": ""}, {**swapped, "target_object": too_much}])


FILTERS = (
    *named_rewrites.UNREADABLE,
    Filter("no_answer", ("target_caption",), _answered, "the rewriter gave no caption", _canary_silent),
    avoidance.IN_REWRITE,
    Filter(
        "about_the_task",
        ("source_caption", "target_caption"),
        _about_the_object,
        "the rewriter talked about its task instead of doing it",
        _canary_talking,
    ),
    Filter("unchanged", ("edit_count",), _changed, "the rewritten caption says the same", _canary_edits(1, 0)),
    *named_rewrites.WRONGLY_NAMED,
    Filter(
        "other_kind",
        ("asked_kind", "change_kind"),
        _wanted,
        "the change is of another kind than the recipe wants",
        _canary_kinds,
    ),
    Filter(
        "several_changes",
        ("edit_count",),
        _one_change,
        "more than one thing was changed",
        _canary_edits(1, 2),
    ),
    Filter(
        "not_a_replacement",
        ("asked_kind", "source_object", "target_object"),
        _replaced,
        "something was added or removed instead of one object being replaced",
        _canary_inserted,
    ),
)
