"""What the pictures of a release are held against before it is published."""

from typing import Self

from pydantic import Field, model_validator

from imgdiff_assets.stages.settings import StageSettings


class ReleaseSettings(StageSettings):
    """What the pictures of a release are held against before it is published. No row depends on it."""

    unsafe_words: list[str] = Field(
        ["a naked person", "blood and injuries", "a weapon", "a hateful symbol", "a private document"],
        min_length=1,
        description="What no picture should show: how near each is to these is told before a release is published.",
    )
    max_unsafe: float | None = Field(
        None,
        ge=-1,
        le=1,
        description="A picture that is so near to one of them (cosine, by the image_text_encoder), or nearer, blocks "
        "publishing. Without it none does, for a cosine has no scale of its own.",
    )
    min_safe: float = Field(
        0.0,
        ge=0,
        le=1,
        description="A picture that the verifier, where there is one, calls less safe than this for anybody to see "
        "(1 is safe) blocks publishing.",
    )

    @model_validator(mode="after")
    def _words_say_something(self) -> Self:
        if not all(words.strip() for words in self.unsafe_words):
            raise ValueError("release.unsafe_words: one of them is empty")
        return self
