"""What a recipe says of its samples: tasks, wordings, thresholds, the split."""

from pydantic import Field, ValidationInfo, field_validator

from imgdiff_assets.method.box_text import Coordinates
from imgdiff_assets.method.language import DEFAULT_LANGUAGE, language_named, sentences_of, spoken_sentences
from imgdiff_assets.method.tasks import LATER, OURS, TASKS, task_named
from imgdiff_assets.method.wordings import INSTALLED, check, written_out
from imgdiff_assets.stages.balance import BalanceSettings
from imgdiff_assets.stages.phrases import known_language
from imgdiff_assets.stages.settings import StageSettings, left_out, off_unless_named

SORTS = ("task", "kind", "source_object")
"""By what the validation split can hold its share."""

OF_PAIRS = "same_or_different"
"""The task that is asked of these pairs too."""


class FineTuneSetSettings(StageSettings):
    """Conversations over the two images, one or more tasks to a region or pair, with a split by caption."""

    tasks: list[str] = Field(
        ["difference"], min_length=1, description=f"What samples train; any of {', '.join(TASKS)}."
    )
    language: str | None = left_out(
        None, "The language of the questions and of the answers, as in `english`, which it is without it."
    )
    questions: dict[str, list[str]] = Field(
        {},
        validate_default=True,
        description="Wordings of a task's question, of which one is picked by the sample's seed; a task without an "
        "entry has its own. They may use {region} (the marked region), {subject} and {coordinates}. "
        f"`{INSTALLED}NAME` stands for the wordings of that name which a package offers.",
    )
    box_coordinates: Coordinates = Field(
        "fraction", description="How boxes are told: fractions of width and height, thousandths of them, or pixels."
    )
    min_match_margin: float = Field(
        0.05,
        ge=-2,
        le=2,
        description="An answer to `which_image` is rejected unless its image matches the text better by this much.",
    )
    min_same_similarity: float = Field(
        0.98,
        ge=-1,
        le=1,
        description="Pairs rejected as too similar, but less alike than this, are not called the same.",
    )
    validation_fraction: float = Field(0.05, ge=0, le=1, description="Share of captions whose samples validate.")
    min_validation_bits: int = Field(
        6,
        ge=0,
        le=64,
        description="A training pair whose perceptual hash differs in fewer of 64 bits from a validation image's is a "
        "near-duplicate. 0: none is.",
    )
    max_validation_similarity: float = Field(
        0.98,
        ge=-1,
        le=1.01,
        description="A training pair more alike (cosine) to a validation image is a near-duplicate. 1.01: none is.",
    )
    validation_by: list[str] = left_out(
        [],
        "With any of task, kind and source_object: the validation split holds `validation_fraction` of the samples of "
        "each, as near as whole captions can. Another threshold may then move a caption; without any, none moves.",
    )
    balance: BalanceSettings | None = off_unless_named(
        "Samples are left out of which there are enough, and stay in the table: `{}` has A and B answer equally often."
    )

    @field_validator("tasks")
    @classmethod
    def _tasks_are_known(cls, tasks: list[str]) -> list[str]:
        for name in tasks:
            task_named(name)
        return sorted(set(tasks), key=list(TASKS).index)

    @field_validator("validation_by")
    @classmethod
    def _sorts_are_known(cls, by: list[str]) -> list[str]:
        if unknown := [name for name in by if name not in SORTS]:
            raise ValueError(f"there is no {unknown[0]!r}; there are {', '.join(SORTS)}")
        return by

    @field_validator("language")
    @classmethod
    def _language_is_spoken(cls, language: str | None) -> str | None:
        try:
            sentences_of(language_named(known_language(language) or DEFAULT_LANGUAGE))
        except LookupError as error:
            raise ValueError(str(error)) from None
        return language

    @field_validator("questions")
    @classmethod
    def _questions_can_be_asked(cls, questions: dict[str, list[str]], values: ValidationInfo) -> dict[str, list[str]]:
        """Every task of ours has its wordings here, one of a package where it is asked: installing changes nothing.

        One that came later has only wordings that a recipe gives it, so that asking it words no other sample anew.
        """
        wordings = {name: written_out(task_named(name).name, given) for name, given in questions.items()}
        for name, given in wordings.items():
            try:
                check(given)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
        spoken = sentences_of(language_named(values.data.get("language") or DEFAULT_LANGUAGE)).questions
        own = {name: given for name, given in wordings.items() if given not in _defaults(name)}
        names = [*OURS, *values.data.get("tasks", ())]
        asked = dict.fromkeys(name for name in names if name not in LATER or name in own)
        return {name: own.get(name) or list(spoken.get(name, TASKS[name].questions)) for name in asked}


def _defaults(task: str) -> list[list[str]]:
    """A task's own wordings in every language: where a recipe has those of another than its own, it was given none."""
    return [list(sentences.questions.get(task, ())) for sentences in spoken_sentences()]
