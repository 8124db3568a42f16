"""What a recipe says of prompt pairs."""

import re
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from imgdiff_assets.method.change import CHANGE_KEYS, KINDS, OBJECT
from imgdiff_assets.method.kind import OBJECT_REPLACED, kind_named, kind_names
from imgdiff_assets.method.language import language_named, language_names
from imgdiff_assets.stages import named_rewrites
from imgdiff_assets.stages.instructions import InstructionSettings
from imgdiff_assets.stages.named_rewrites import CAPTION, CHANGE_QUESTION, NEW_CAPTION, OBJECT_QUESTION
from imgdiff_assets.stages.pictures import PicturesSettings
from imgdiff_assets.stages.settings import StageSettings, left_out, off_unless_named


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
        f"it objects are replaced. Needs `answer: json`, or an `answer_pattern` that has the groups `replaced` and "
        "`replacement` too. A caption's attempts try the kinds in an order drawn by its "
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

    instructions: InstructionSettings | None = off_unless_named(
        "What an editor is to be told, of each kept prompt pair: `{}` has it on. `image_pairs.method: edit` needs it."
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
        names = self.answer == named_rewrites.JSON or set(CHANGE_KEYS) <= set(
            re.compile(self.answer_pattern).groupindex
        )
        if set(self.kind_shares) - {OBJECT_REPLACED} and (self.answer == "caption" or not names):
            raise ValueError(
                "kind_shares needs `answer: json`, or an `answer_pattern` with the groups replaced and replacement: "
                "a rewriter is held to what it names"
            )
        return self

    @model_validator(mode="after")
    def _words_make_an_instruction(self) -> "PromptPairsSettings":
        told = self.instructions
        if told is not None and told.by == "words" and self.language not in (None, "english"):
            raise ValueError(
                "instructions.by: of captions that are not English, only the rewriter can tell: set rewriter"
            )
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
