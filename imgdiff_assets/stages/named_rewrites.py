"""Rewrites in which the rewriter names what it changed: what it is asked, and what comes of its answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from imgdiff_assets.common.aliases import Booleans, Columns, Row
from imgdiff_assets.common.hashing import seed_of
from imgdiff_assets.method.answers import Found, find_caption, is_cut_off, plain
from imgdiff_assets.method.caption_edit import same_words
from imgdiff_assets.method.change import (
    CHANGE_KEYS,
    KINDS,
    MISNAMED,
    MORE_CHANGED,
    SEVERAL_OBJECTS,
    UNNAMED,
    Change,
    named_change,
    schema,
    supported_change,
)
from imgdiff_assets.method.kind import OBJECT_REPLACED, kind_named
from imgdiff_assets.method.language import DEFAULT_LANGUAGE, Language, language_named
from imgdiff_assets.stages.steps import Canaries, Filter, Work
from resources.loading.failures import ModelUnavailable

CAPTION, NEW_CAPTION = "{caption}", "{new_caption}"
CUT_OFF, AMBIGUOUS = "cut_off", "ambiguous"
JSON = "json"
COLUMNS = (
    pa.field("change_answer", pa.string()),
    pa.field("change_kind", pa.string()),
    pa.field("fault", pa.string()),
)
"""What is known of such a rewrite alone."""

OBJECT_QUESTION = f"""\
Swap exactly one object of this caption for another object that could be in the same place and looks clearly \
different. Keep every other word as it is. Answer with one JSON object: "caption" is the new caption, "replaced" the \
words of the old caption that name the object, "replacement" the words of the new one in their place, and "kind" what \
was changed: {", ".join(KINDS)}.

Caption: {CAPTION}"""

CHANGE_QUESTION = f"""\
Old caption: {CAPTION}
New caption: {NEW_CAPTION}

What was replaced by what? Answer with one JSON object: "replaced" is the whole name of the thing in the old caption, \
as in "wine glass", "replacement" that of the thing in the new one, and "kind" what was changed: {", ".join(KINDS)}."""


def rewrite(rows: Sequence[Row], work: Work) -> list[Row]:
    """Ask for a new caption, and for what was changed: with it, or in a second question where it is not told.

    The answers are kept as they were given; `fault` says what is wrong with them. Raises ModelUnavailable for a
    rewriter that cannot be asked.
    """
    settings, model = work.settings, work.model("prompt_rewriter")
    if not hasattr(model, "ask"):
        raise ModelUnavailable("The prompt rewriter's backend only rewrites: set prompt_pairs.answer to words.")
    seeds = [seed_of(settings["seed"], "rewrite", row["caption_id"], row["attempt"]) for row in rows]
    captions = [row["source_caption"] for row in rows]
    if settings["answer"] == JSON:
        asked = [question(row["asked_kind"], settings) for row in rows]
        questions = [text.replace(CAPTION, caption) for text, caption in zip(asked, captions, strict=True)]
        answers = model.ask(questions, seeds, schema(with_caption=True))
    else:
        answers = model.rewrite(captions, seeds)
    rewrites = [Rewrite.of(caption, answer) for caption, answer in zip(captions, answers, strict=True)]
    for rewrite, row in zip(rewrites, rows, strict=True):
        rewrite.kind = row["asked_kind"] or OBJECT_REPLACED
    unnamed = [rewrite for rewrite in rewrites if rewrite.is_to_be_named and rewrite.named is None]
    # The likeliest answer, for this question has a right one.
    questions = [rewrite.question(settings["change_question"]) for rewrite in unnamed]
    for rewrite, answer in zip(unnamed, model.ask(questions, None, schema(with_caption=False)), strict=True):
        rewrite.change_answer = answer
    language = language_named(settings["language"] or DEFAULT_LANGUAGE)
    return [rewrite.row(language) for rewrite in rewrites]


def question(kind: str | None, settings: Mapping[str, Any]) -> str:
    """What the rewriter is asked for a kind; null is the first there was, for which recipes have a question."""
    own: str | None = settings["kind_questions"].get(kind or OBJECT_REPLACED)
    return own or (settings["object_question"] if kind is None else kind_named(kind).question)


@dataclass(slots=True)
class Rewrite:
    """What the rewriter answered about one caption; `target` is the new caption in it, if there is one.

    `kind` is what was asked for, `named` the change as the answer names it, `change_answer` what was answered when the
    rewriter was asked for it.
    """

    source: str
    answer: str
    target: str | None = None
    fault: str | None = None
    named: Mapping[str, str] | None = None
    change_answer: str | None = None
    kind: str = OBJECT_REPLACED

    @classmethod
    def of(cls, source: str, answer: str) -> "Rewrite":
        """Read an answer: an object as was asked for, or any other that holds a caption."""
        if is_cut_off(answer):
            return cls(source, answer, fault=CUT_OFF)
        named = named_change(answer, ("caption", *CHANGE_KEYS))
        found = find_caption(named["caption"] if named else answer, source)
        if named and found == Found(None):  # Told as such, it is one, however far from the old one.
            found = Found(plain(named["caption"]) or None)
        return cls(source, answer, found.caption, AMBIGUOUS if found.ambiguous else None, named)

    @property
    def is_to_be_named(self) -> bool:
        """Whether there is a change that somebody must name."""
        return self.target is not None and not same_words(self.source, self.target)

    def question(self, asked: str) -> str:
        """What the rewriter is asked about the change."""
        return asked.replace(CAPTION, self.source).replace(NEW_CAPTION, str(self.target))

    def row(self, language: Language) -> Row:
        """The columns of `COLUMNS` and of the measurement of any rewrite."""
        change = self._change(language) if self.is_to_be_named else Change(fault=self.fault)
        return {
            "answer": self.answer,
            "target_caption": self.target,
            "edit_count": int(self.is_to_be_named),
            "source_object": change.source,
            "target_object": change.target,
            "change_answer": self.change_answer,
            "change_kind": change.kind,
            "fault": change.fault,
        }

    def _change(self, language: Language) -> Change:
        target, named = str(self.target), self.named
        if named is None and self.change_answer is not None:
            if is_cut_off(self.change_answer):
                return Change(fault=CUT_OFF)
            named = named_change(self.change_answer)
            named = named or supported_change(self.source, target, self.change_answer, language)
        return kind_named(self.kind).check(self.source, target, named, language) if named else Change(fault=UNNAMED)


def without_fault(fault: str, reason: str) -> Filter:
    """A filter that rejects the rows that have this fault."""

    def passes(columns: Columns, settings: Any) -> Booleans:
        return np.array([found != fault for found in columns["fault"]], dtype=bool)

    return Filter(fault, ("fault",), passes, reason, lambda settings: Canaries([{"fault": None}], [{"fault": fault}]))


UNREADABLE = (
    without_fault(CUT_OFF, "the answer was cut off before it was whole"),
    without_fault(AMBIGUOUS, "the answer holds several captions that are new"),
)
"""Filters for answers that no caption could be read from."""

WRONGLY_NAMED = (
    without_fault(UNNAMED, "the rewriter did not say what it replaced by what"),
    without_fault(MISNAMED, "a phrase that the rewriter names is not in its caption"),
    without_fault(MORE_CHANGED, "more was changed than the rewriter names"),
    without_fault(SEVERAL_OBJECTS, "what the rewriter names is more than one object"),
)
"""Filters for changes that are not as they were named."""
