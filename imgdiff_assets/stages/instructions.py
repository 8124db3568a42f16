"""What an editor is to be told, of kept prompt pairs: a column of its own, off unless a recipe names it."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import field_validator

from imgdiff_assets.common.aliases import Booleans, Columns, Row
from imgdiff_assets.method.answers import without_thoughts
from imgdiff_assets.method.instructions import instruction
from imgdiff_assets.method.kind import OBJECT_REPLACED, kind_named
from imgdiff_assets.method.language import DEFAULT_LANGUAGE, language_named
from imgdiff_assets.stages.named_rewrites import CAPTION, NEW_CAPTION
from imgdiff_assets.stages.settings import StageSettings, left_out
from imgdiff_assets.stages.steps import Canaries, Filter, Measurement, Work
from resources.loading.failures import ModelUnavailable

SECTION = "instructions"
INSTRUCTION = pa.field("instruction", pa.string())

QUESTION = f"""\
A picture was edited. Its caption before: {CAPTION}
Its caption after: {NEW_CAPTION}

What was the editor told to do? Answer in one short sentence, as in "Replace the red cup with a green bottle": name \
what is changed, by colour or place where that tells it from others, and what it becomes. Answer with this sentence \
alone."""


class InstructionSettings(StageSettings):
    """An instruction for each kept prompt pair, which makes of the first caption's picture the second's."""

    by: Literal["words", "rewriter"] = left_out(
        "words",
        "Who says it: the two captions' own words, in a short English sentence; or the rewriter, which is asked.",
    )
    question: str = left_out(
        QUESTION, f"What the rewriter is asked; `{CAPTION}` and `{NEW_CAPTION}` stand for the captions."
    )

    @field_validator("question")
    @classmethod
    def _question_has_its_captions(cls, question: str) -> str:
        for placeholder in (CAPTION, NEW_CAPTION):
            if placeholder not in question:
                raise ValueError(f"must contain {placeholder}, where the caption goes")
        return question


def instruct(rows: Sequence[Row], work: Work) -> list[Row]:
    """The instruction of each row; null where the words tell none. Raises ModelUnavailable, as `named_rewrites`."""
    if work.settings["by"] == "words":
        return [{INSTRUCTION.name: _by_words(row)} for row in rows]
    model = work.model("prompt_rewriter")
    if not hasattr(model, "ask"):
        raise ModelUnavailable(
            "The prompt rewriter's backend only rewrites: set prompt_pairs.instructions.by to words."
        )
    asked = work.settings["question"]
    questions = [
        asked.replace(NEW_CAPTION, row["target_caption"]).replace(CAPTION, row["source_caption"]) for row in rows
    ]
    # The likeliest answer, for this question has a right one.
    return [{INSTRUCTION.name: sentence(answer)} for answer in model.ask(questions, None)]


TOLD_BY = ("source_caption", "target_caption", "source_object", "target_object", "asked_kind", INSTRUCTION.name)


def told(row: Row) -> str | None:
    """The instruction that a prompt pair has, or else what its words tell; `row` has what there is of TOLD_BY."""
    return row.get(INSTRUCTION.name) or _by_words(row)


def _by_words(row: Row) -> str | None:
    captions = row["source_caption"], row["target_caption"]
    phrases = row["source_object"], row["target_object"]
    told = kind_named(row.get("asked_kind") or OBJECT_REPLACED).told
    return instruction(told, captions, phrases, language_named(DEFAULT_LANGUAGE))


def sentence(answer: str) -> str | None:
    """The first line of an answer, without quotation marks around it."""
    lines = without_thoughts(answer).strip().splitlines()
    return lines[0].strip().strip("\"'“”„«»").strip() or None if lines else None


def _told(columns: Columns, settings: Any) -> Booleans:
    return np.array([bool(text) for text in columns[INSTRUCTION.name]], dtype=bool)


STEPS = (
    Measurement(
        name="instruct",
        columns=(INSTRUCTION,),
        inputs=("source_caption", "target_caption", "source_object", "target_object"),
        later_inputs=("asked_kind",),
        run=instruct,
        settings=("by", "question"),
        more_roles={"by": ("prompt_rewriter",)},
        section=SECTION,
    ),
    Filter(
        "no_instruction",
        (INSTRUCTION.name,),
        _told,
        "nobody can tell an editor what to do",
        lambda settings: Canaries([{INSTRUCTION.name: "remove the dog"}], [{INSTRUCTION.name: None}]),
        section=SECTION,
    ),
)
