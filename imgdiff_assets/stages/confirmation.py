"""Whether a difference caption is true, as the prompt rewriter has it: a score of its own, off unless named."""

from collections.abc import Sequence
from dataclasses import replace

from pydantic import Field, field_validator

from imgdiff_assets.common.aliases import Row
from imgdiff_assets.common.templates import fillable
from imgdiff_assets.stages.settings import StageSettings
from imgdiff_assets.stages.steps import Measurement, Work, at_least, share, unless_missing

SECTION = "confirmation"


class ConfirmationSettings(StageSettings):
    """The prompt rewriter is asked whether the difference caption says what the region captions do."""

    question: str = Field(
        "One thing was replaced in a picture. Before, there was: {source}. Now, there is: {target}. Somebody says of "
        "the "
        'two pictures: "{difference}" Is that true of them, and is it said which of the two shows what? Answer with '
        "one word, yes or no.",
        description="May use {source}, {target} and {difference}.",
    )
    min_confirmation: float = Field(
        0.0,
        ge=0,
        le=1,
        description="How likely the rewriter must say yes rather than no. At 0 nothing is rejected; a row of which a "
        "server does not tell that passes.",
    )

    @field_validator("question")
    @classmethod
    def _question_can_be_asked(cls, question: str) -> str:
        return fillable(question, source="", target="", difference="")


def confirm(rows: Sequence[Row], work: Work) -> list[Row]:
    """P(yes) of the answer to the question whether the difference is true; null where that is not known."""
    questions = [
        work.settings["question"].format(
            source=row["source_phrase"], target=row["target_phrase"], difference=row["difference"]
        )
        for row in rows
    ]
    return [{SECTION: chance} for chance in work.model("prompt_rewriter").yes(questions)]


STEPS = (
    Measurement(
        name="confirm",
        columns=(share(SECTION),),
        inputs=("source_phrase", "target_phrase", "difference"),
        run=confirm,
        settings=("question",),
        roles=("prompt_rewriter",),
        section=SECTION,
    ),
    replace(
        unless_missing(
            at_least(
                "not_confirmed", SECTION, "min_confirmation", "the rewriter does not find the difference caption true"
            )
        ),
        section=SECTION,
    ),
)
