"""What reviewers may reject a sample for, and how samples are shared out among them."""

from typing import Self

from pydantic import Field, model_validator

from imgdiff_assets.ledger.reviews import LONGEST_REASON, MOST_REASONS, is_line
from imgdiff_assets.stages.settings import StageSettings


class ReviewSettings(StageSettings):
    """What reviewers may reject a sample for, and how samples are shared out. No row depends on it."""

    reasons: list[str] = Field(
        ["wrong side", "wrong viewpoint", "wrong attribute", "invented", "bad picture", "other"],
        max_length=MOST_REASONS,
        description="Each has a key of the review page: 1 for the first, and so on.",
    )
    critical: list[str] = Field(
        ["wrong side", "wrong viewpoint", "wrong attribute", "invented"],
        description="Those of them that teach a falsehood: the certificate counts them apart.",
    )

    overlap: float = Field(
        0.1,
        ge=0,
        le=1,
        description="Share of the samples that two reviewers get where each is given their own, so that it can be "
        "told how far they agree.",
    )

    @model_validator(mode="after")
    def _reasons_can_be_said(self) -> Self:
        for reason in self.reasons:
            if not is_line(reason, LONGEST_REASON):
                raise ValueError(f"review.reasons: {reason!r} is not 1 to {LONGEST_REASON} printable characters")
        if len(set(self.reasons)) < len(self.reasons):
            raise ValueError("review.reasons: one is named twice")
        for reason in self.critical:
            if reason not in self.reasons:
                raise ValueError(f"review.critical: {reason!r} is none of review.reasons")
        return self
