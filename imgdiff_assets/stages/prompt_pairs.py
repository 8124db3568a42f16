"""Captions to prompt pairs: each caption, and the same caption with one object replaced by a language model.

Where a recipe says so (`kind_shares`), something else than an object differs.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import cycle
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field, ValidationInfo, field_validator, model_validator

from imgdiff_assets.common.aliases import Booleans, Columns, Row
from imgdiff_assets.common.hashing import content_id, seed_of
from imgdiff_assets.method.caption_edit import edits, length, words
from imgdiff_assets.method.change import KINDS, OBJECT
from imgdiff_assets.method.kind import OBJECT_REPLACED, kind_named, kind_names, kinds_in_order
from imgdiff_assets.method.language import is_of, language_named, language_names
from imgdiff_assets.method.replacement_gaps import places
from imgdiff_assets.stages import avoidance, named_rewrites
from imgdiff_assets.stages.named_rewrites import CAPTION, CHANGE_QUESTION, NEW_CAPTION, OBJECT_QUESTION
from imgdiff_assets.stages.pictures import PicturesSettings
from imgdiff_assets.stages.settings import StageSettings, left_out
from imgdiff_assets.stages.stage import Above, Stage
from imgdiff_assets.stages.steps import Canaries, Derivation, Filter, Measurement, Work

CELLS = ("caption_id", "target_caption", "source_object", "target_object", "filled")


class PromptPairsSettings(StageSettings):
    """Captions to pairs of captions that differ in one object."""

    attempts: int = Field(1, ge=1, le=100, description="Rewrites asked for per caption, each with its own seed.")
    keep_attempts: int = Field(
        100,
        ge=1,
        le=100,
        description="Of a caption's rewrites keep at most so many: the (replaced, replacing) pairs that were rarest "
        "when it was ingested (`imgdiff ingest --fill-gaps`, `automation.fill_gaps`) come first.",
    )
    max_words: int = Field(60, ge=1, description="Longer captions are rejected: image models read 77 tokens.")
    known_words: list[str] = Field([], description="If any: captions with other words are rejected, unmeasured.")
    answer_pattern: str = Field(
        r"(?s)(?P<caption>.+)", description="Regular expression; its group `caption` is the new caption in the answer."
    )
    task_phrases: list[str] = Field(
        ["replace", "replaced", "caption", "sentence", "instruction", "here is", "i have", "i will", "sorry"],
        description="A rewritten caption with one of these, unless the source has it too, talks about the task.",
    )
    max_object_words: int = Field(4, ge=1, description="More changed words in a row than this are not one object.")
    language: str | None = left_out(
        None,
        "The language of the captions: as in `english`. Captions in another are rejected, unmeasured; "
        "without it none is, and they are compared as English ones.",
        examples=language_names(),
    )
    answer: Literal["words", "caption", "json"] = left_out(
        "words",
        "Who says what was replaced by what: with `json` and `caption` the rewriter, in the JSON object that it is "
        "asked for or in a second question; with `words` the words in which the two captions differ.",
    )
    kinds: list[str] = left_out(
        [OBJECT], f"The kinds of change that are kept, where the rewriter names them: {', '.join(KINDS)}."
    )
    kind_shares: dict[str, float] = left_out(
        {},
        "How often each kind of difference is asked for, as in `{object_replaced: 3, attribute_changed: 1}`; without "
        f"it objects are replaced. Needs `answer: json`. A caption's attempts try the kinds in an order drawn by its "
        f"id. The kinds: {', '.join(kind_names())}.",
    )
    kind_questions: dict[str, str] = left_out(
        {}, f"What the rewriter is asked for a kind, in the place of the kind's own question; with `{CAPTION}`."
    )
    object_question: str = left_out(
        OBJECT_QUESTION, f"What the rewriter is asked, with `answer: json`; `{CAPTION}` stands for the caption."
    )
    change_question: str = left_out(
        CHANGE_QUESTION,
        f"What it is asked about a change not yet named; `{CAPTION}` and `{NEW_CAPTION}` stand for the captions.",
    )

    avoid: list[str] | None = left_out(
        None,
        "What captions must not name, before and after they are rewritten: `people` with all words for them, words "
        "and phrases of your own, or a part of words, as in `paint*`.",
        examples=[["people", "weapon*"]],
    )
    pictures: PicturesSettings = left_out(PicturesSettings(), "How pictures that were ingested are seen and edited.")

    @field_validator("avoid")
    @classmethod
    def _something_is_avoided(cls, entries: list[str] | None) -> list[str] | None:
        if entries is not None and not all(any(sign.isalnum() for sign in entry) for entry in entries):
            raise ValueError("an entry has at least one letter, as in [people]")
        return entries or None

    @field_validator("kinds")
    @classmethod
    def _kinds_are_known(cls, kinds: list[str]) -> list[str]:
        if unknown := [kind for kind in kinds if kind not in KINDS]:
            raise ValueError(f"there is no kind {unknown[0]!r}; there are {', '.join(KINDS)}")
        return kinds

    @field_validator("kind_shares", "kind_questions")
    @classmethod
    def _kinds_have_files(cls, by_kind: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        for name, value in by_kind.items():
            try:
                kind_named(name)
            except LookupError as error:
                raise ValueError(str(error)) from None
            if info.field_name == "kind_questions" and CAPTION not in value:
                raise ValueError(f"{name}: must contain {CAPTION}, where the caption goes")
        return by_kind

    @model_validator(mode="after")
    def _kinds_can_be_asked(self) -> "PromptPairsSettings":
        if any(share < 0 for share in self.kind_shares.values()) or (
            self.kind_shares and not sum(self.kind_shares.values())
        ):
            raise ValueError("kind_shares: no share is below 0, and one is above")
        if set(self.kind_shares) - {OBJECT_REPLACED} and self.answer != named_rewrites.JSON:
            raise ValueError("kind_shares needs `answer: json`: a rewriter is held to what it names")
        return self

    @field_validator("language")
    @classmethod
    def _language_is_known(cls, language: str | None) -> str | None:
        if language is not None:
            try:
                language_named(language)
            except LookupError as error:
                raise ValueError(str(error)) from None
        return language

    @field_validator("object_question", "change_question")
    @classmethod
    def _questions_have_their_captions(cls, question: str, info: ValidationInfo) -> str:
        for placeholder in (CAPTION, NEW_CAPTION) if info.field_name == "change_question" else (CAPTION,):
            if placeholder not in question:
                raise ValueError(f"must contain {placeholder}, where the caption goes")
        return question

    @field_validator("answer_pattern")
    @classmethod
    def _pattern_has_its_group(cls, pattern: str) -> str:
        try:
            groups = re.compile(pattern).groupindex
        except re.error as error:
            raise ValueError(f"is not a regular expression: {error}") from None
        if "caption" not in groups:
            raise ValueError("needs a group (?P<caption>...)")
        return pattern


def items(tables: Mapping[str, pa.Table], settings: Mapping[str, Any]) -> pa.Table:
    """Every caption, as often as the recipe asks, each time for a kind of difference; null is an object replaced."""
    captions, attempts = tables["caption_file"], settings["attempts"]
    rows = captions.take(np.arange(len(captions)).repeat(attempts))
    kinds: list[str | None] = []
    for caption_id in captions["caption_id"].to_pylist():
        order = kinds_in_order(caption_id, settings["kind_shares"]) or [OBJECT_REPLACED]
        # The first kind stays untold, so that what was asked before there were others is asked as it was.
        kinds += [None if name == OBJECT_REPLACED else name for name, _ in zip(cycle(order), range(attempts))]
    return pa.table(
        {
            "caption_id": rows["caption_id"],
            "attempt": np.tile(np.arange(attempts), len(captions)),
            "source_caption": rows["caption"],
            "filled": rows["filled"] if "filled" in rows.column_names else pa.nulls(len(rows), pa.string()),
            "asked_kind": pa.array(kinds, pa.string()),
            "kept": np.ones(len(rows), dtype=bool),
        }
    )


def row_id(row: Row) -> str:
    return content_id("prompt_pair", row["caption_id"], row["attempt"], row.get("target_caption"))


def rewrite(rows: Sequence[Row], work: Work) -> list[Row]:
    """Ask the language model; the answer is kept as it was given, the caption in it by the recipe's pattern.

    Where the rewriter names what it changed, see `named_rewrites`.
    """
    if work.settings["answer"] != "words":
        return named_rewrites.rewrite(rows, work)
    pattern = re.compile(work.settings["answer_pattern"])
    seeds = [seed_of(work.settings["seed"], "rewrite", row["caption_id"], row["attempt"]) for row in rows]
    answers = work.model("prompt_rewriter").rewrite([row["source_caption"] for row in rows], seeds)
    results = []
    for row, answer in zip(rows, answers, strict=True):
        match = pattern.search(answer)
        target = " ".join(match["caption"].split()).strip("\"'“” ") if match else ""
        changes = edits(row["source_caption"], target) if target else []
        edit = changes[0] if len(changes) == 1 else None
        results.append(
            {
                "answer": answer,
                "target_caption": target or None,
                "edit_count": len(changes),
                "source_object": edit.source if edit else None,
                "target_object": edit.target if edit else None,
                **dict.fromkeys(column.name for column in named_rewrites.COLUMNS),
            }
        )
    return results


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

    pairs = zip(columns["source_object"], columns["target_object"], strict=True)
    return np.array([one_object(source) and one_object(target) for source, target in pairs], dtype=bool)


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


def _place(columns: Columns, settings: PromptPairsSettings) -> Any:
    cells = list(zip(columns["source_object"], columns["target_object"], strict=True))
    return places(list(columns["caption_id"]), list(columns["target_caption"]), cells, list(columns["filled"]))


def _emptiest(columns: Columns, settings: PromptPairsSettings) -> Booleans:
    return np.asarray(columns["place"] < settings.keep_attempts, dtype=bool)


def _canary_fuller(settings: PromptPairsSettings) -> Canaries:
    """As many rewrites of one caption as may be kept, into empty cells, and one more into a filled one."""

    def rewrite(new: str) -> Row:
        cell = {"source_object": "dog", "target_object": new}
        return {"caption_id": "one", "target_caption": f"a {new}", "filled": '{"dog": {"cat": 7}}', **cell}

    kept = [rewrite(f"animal{number}") for number in range(settings.keep_attempts)]
    return Canaries(kept, [rewrite("cat")])


def _repeated(columns: Columns, settings: PromptPairsSettings) -> Any:
    texts = [" ".join(words(text)) for text in columns["target_caption"]]
    seen: set[tuple[str, str]] = set()
    result = np.zeros(len(texts), dtype=bool)
    for row in np.argsort(columns["attempt"], kind="stable"):
        key = columns["caption_id"][row], texts[row]
        result[row] = key in seen
        seen.add(key)
    return result


def _new(columns: Columns, settings: PromptPairsSettings) -> Booleans:
    return np.array([not repeated for repeated in columns["repeated"]], dtype=bool)


def _canary_long(settings: PromptPairsSettings) -> Canaries:
    return Canaries(
        kept=[{"source_caption": "word " * settings.max_words}],
        rejected=[{"source_caption": "word " * (settings.max_words + 1)}],
    )


def _canary_unknown(settings: PromptPairsSettings) -> Canaries:
    known = " ".join(settings.known_words)
    strange = f"x{''.join(words(known))}"
    return Canaries([{"source_caption": known}], [{"source_caption": strange}] if settings.known_words else [])


def _canary_silent(settings: PromptPairsSettings) -> Canaries:
    return Canaries(kept=[{"target_caption": "a cat"}], rejected=[{"target_caption": None}])


def _canary_talking(settings: PromptPairsSettings) -> Canaries:
    plain = {"source_caption": "a dog", "target_caption": "a cat"}
    talking = [{"source_caption": "a dog", "target_caption": f"{phrase} a cat"} for phrase in settings.task_phrases]
    return Canaries([plain], talking)


def _canary_edits(kept: int, rejected: int) -> Callable[[PromptPairsSettings], Canaries]:
    return lambda settings: Canaries([{"edit_count": kept}], [{"edit_count": rejected}])


def _canary_inserted(settings: PromptPairsSettings) -> Canaries:
    swapped = {"source_object": "dog", "target_object": "cat"}
    too_much = " ".join(["word"] * (settings.max_object_words + 1))
    return Canaries([swapped], [{**swapped, "source_object": ""}, {**swapped, "target_object": too_much}])


def _canary_repeated(settings: PromptPairsSettings) -> Canaries:
    """The same rewrite of one caption, but for its letters' case; of another caption it is no repetition."""

    def rewrite(caption_id: str, attempt: int, text: str) -> Row:
        return {"caption_id": caption_id, "attempt": attempt, "target_caption": text}

    return Canaries([rewrite("one", 0, "a cat"), rewrite("another", 1, "a cat")], [rewrite("one", 1, "A cat.")])


def contents(row: Mapping[str, Any]) -> list[str]:
    """Both captions, the two objects, and the answers as they were given."""
    target, objects = row["target_caption"], (row["source_object"], row["target_object"])
    return [
        f"{row['source_caption']} → {target}" if target else row["source_caption"],
        " → ".join(objects) + f" (attempt {row['attempt']})" if all(objects) else "",
        f"asked for: {row['asked_kind']}" if row["asked_kind"] else "",
        "" if row["answer"] is None else f"answer: {row['answer']}",
        "" if row["change_answer"] is None else f"asked what was replaced: {row['change_answer']}",
    ]


STAGE = Stage(
    name="prompt_pairs",
    id_column="pair_id",
    parents=("caption_file",),
    above=(Above("caption_file", "caption_id"),),
    section=PromptPairsSettings,
    description=__doc__,
    item_columns=(
        pa.field("caption_id", pa.string()),
        pa.field("attempt", pa.int32()),
        pa.field("source_caption", pa.string()),
        pa.field("filled", pa.string()),
        pa.field("asked_kind", pa.string()),
    ),
    items=items,
    item_settings=("attempts", "kind_shares"),
    row_id=row_id,
    compared_texts=("source_caption", "target_caption"),
    roles_of_pictures=("captioner",),
    contents=contents,
    steps=(
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
        Measurement(
            name="rewrite",
            columns=(
                pa.field("answer", pa.string()),
                pa.field("target_caption", pa.string()),
                pa.field("edit_count", pa.int32()),
                pa.field("source_object", pa.string()),
                pa.field("target_object", pa.string()),
                *named_rewrites.COLUMNS,
            ),
            inputs=("caption_id", "attempt", "source_caption"),
            run=rewrite,
            later_inputs=("asked_kind",),
            settings=(
                "seed",
                "answer_pattern",
                "answer",
                "language",
                "object_question",
                "change_question",
                "kind_questions",
            ),
            roles=("prompt_rewriter",),
        ),
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
            ("source_object", "target_object"),
            _replaced,
            "something was added or removed instead of one object being replaced",
            _canary_inserted,
        ),
        Derivation(pa.field("repeated", pa.bool_()), ("caption_id", "attempt", "target_caption"), _repeated),
        Filter("repeated", ("repeated",), _new, "another attempt gave the same caption", _canary_repeated),
        Derivation(pa.field("place", pa.int32()), CELLS, _place),
        Filter(
            "fuller_cell",
            ("place",),
            _emptiest,
            "another attempt makes a rarer replacement",
            _canary_fuller,
            threshold="keep_attempts",
        ),
    ),
)
