"""The instruction that fits what came out: an edit seldom is just what was asked for. Off unless named."""

from collections.abc import Sequence
from typing import Literal

import pyarrow as pa
from pydantic import ValidationInfo, field_validator

from imgdiff_assets.common.aliases import Pixels, Row
from imgdiff_assets.method.answers import without_thoughts
from imgdiff_assets.method.regions import BAR_WIDTH, side_by_side
from imgdiff_assets.stages.differences import NoAnswer, tidy
from imgdiff_assets.stages.instructions import INSTRUCTION, sentence
from imgdiff_assets.stages.named_rewrites import CAPTION, NEW_CAPTION
from imgdiff_assets.stages.settings import StageSettings, left_out
from imgdiff_assets.stages.steps import Measurement, Work
from resources.loading.failures import ModelUnavailable

SECTION = "seen_instructions"
TOLD = pa.field("told", pa.string())
"""What was to be changed: the instruction that the editor was told, or else both captions; null where neither is."""
SEEN = pa.field("seen_instruction", pa.string())
ASKED_FOR = "{instruction}"
UNTOLD = "change something in the picture"

QUESTION = f"""\
The second picture was made of the first. What was asked for: {ASKED_FOR}
That is not always what was done. Looking at both pictures, what instruction makes exactly the second picture of the \
first? Keep what was asked for where it is right, and correct what is wrong. Answer with one short sentence that \
begins with a verb, and nothing else."""

CAPTION_QUESTION = "Describe this picture in one sentence, naming the things that are seen, their colours and places."

REWRITER_QUESTION = f"""\
A picture was edited. What was asked for: {ASKED_FOR}
Seen before: {CAPTION}
Seen after: {NEW_CAPTION}

What was asked for is not always what was done. What instruction makes what is seen after of what was seen before? \
Keep what was asked for where it is right, and correct what is wrong. Answer with one short sentence that begins with \
a verb, and nothing else."""


class SeenInstructionSettings(StageSettings):
    """An instruction for each kept pair, from its two images: what made of the first the second."""

    by: Literal["captioner", "rewriter"] = left_out(
        "captioner",
        "Who says it: the captioner, which is shown both images; or the rewriter, of what the captioner says of each.",
    )
    view: Literal["images", "side_by_side"] = left_out(
        "images", "How the captioner is shown both: as two images, or as one with a bar between them."
    )
    question: str = left_out(
        QUESTION, f"What the captioner is asked of both; `{ASKED_FOR}` stands for what was to be changed."
    )
    caption_question: str = left_out(
        CAPTION_QUESTION, "What the captioner is asked of each image, with `by: rewriter`."
    )
    rewriter_question: str = left_out(
        REWRITER_QUESTION,
        f"With `by: rewriter`, what that is asked; `{CAPTION}` and `{NEW_CAPTION}` stand for what the captioner says.",
    )

    @field_validator("question", "caption_question", "rewriter_question")
    @classmethod
    def _questions_ask(cls, question: str, info: ValidationInfo) -> str:
        for placeholder in (CAPTION, NEW_CAPTION) if info.field_name == "rewriter_question" else ():
            if placeholder not in question:
                raise ValueError(f"must contain {placeholder}, where what is seen goes")
        if not question.strip():
            raise ValueError("is empty; something must be asked")
        return question


def told(pair: Row) -> str | None:
    """What was to be changed in a row of image pairs."""
    captions = pair.get("source_caption"), pair.get("target_caption")
    return pair.get(INSTRUCTION.name) or ("make of “{}”: “{}”".format(*captions) if all(captions) else None)


def retell(rows: Sequence[Row], work: Work) -> list[Row | NoAnswer]:
    """The instruction that each pair's images show. Raises ModelUnavailable for a rewriter that only rewrites."""
    pairs = [work.images(row["pair_id"]) for row in rows]
    asked_for = [row[TOLD.name] or UNTOLD for row in rows]
    ask = _by_rewriter if work.settings["by"] == "rewriter" else _by_captioner
    said = [sentence(answer) for answer in ask(pairs, asked_for, work)]
    return [{SEEN.name: text} if text else NoAnswer("no instruction was named for the two images") for text in said]


def _by_captioner(pairs: Sequence[tuple[Pixels, Pixels]], asked_for: Sequence[str], work: Work) -> Sequence[str]:
    beside = work.settings["view"] == "side_by_side"
    views = [[side_by_side(*pair, BAR_WIDTH)] if beside else list(pair) for pair in pairs]
    questions = [work.settings["question"].replace(ASKED_FOR, text) for text in asked_for]
    answers: Sequence[str] = work.model("captioner").answer(views, questions)
    return answers


def _by_rewriter(pairs: Sequence[tuple[Pixels, Pixels]], asked_for: Sequence[str], work: Work) -> Sequence[str]:
    # The captioner is let go of before the rewriter is fetched: a machine may be too small for both.
    images = [[image] for pair in pairs for image in pair]
    said = work.model("captioner").answer(images, [work.settings["caption_question"]] * len(images))
    seen = [tidy(without_thoughts(answer)) for answer in said]
    model = work.model("prompt_rewriter")
    if not hasattr(model, "ask"):
        raise ModelUnavailable(
            "The prompt rewriter's backend only rewrites: set filtered_pairs.seen_instructions.by to captioner."
        )
    asked = work.settings["rewriter_question"]
    questions = [
        asked.replace(ASKED_FOR, text).replace(NEW_CAPTION, after).replace(CAPTION, before)
        for text, before, after in zip(asked_for, seen[0::2], seen[1::2], strict=True)
    ]
    # The likeliest answer, for this question has a right one.
    answers: Sequence[str] = model.ask(questions, None)
    return answers


STEPS = (
    Measurement(
        name="retell",
        columns=(SEEN,),
        inputs=("pair_id", "source_hash", "target_hash", TOLD.name),
        run=retell,
        settings=("by", "view", "question", "caption_question", "rewriter_question"),
        roles=("captioner",),
        more_roles={"by": ("prompt_rewriter",)},
        section=SECTION,
    ),
)
