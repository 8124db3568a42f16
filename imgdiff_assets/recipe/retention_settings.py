"""How long the pixels of rejected rows are kept."""

import re
from typing import Self

from pydantic import Field, model_validator

from imgdiff_assets.stages.settings import StageSettings

DAYS = re.compile(r"([1-9][0-9]{0,4})d")


class RetentionSettings(StageSettings):
    """What `imgdiff ledger compact` may drop. No row depends on it: scores, verdicts and lineage stay."""

    rejected_images: str | None = Field(
        None,
        description="Days after which images are dropped of which no kept sample is, such as 30d; by default never.",
    )

    @model_validator(mode="after")
    def _days_are_days(self) -> Self:
        if self.rejected_images is not None and DAYS.fullmatch(self.rejected_images) is None:
            raise ValueError(f"retention.rejected_images: {self.rejected_images!r} is no number of days such as 30d")
        return self

    @property
    def days(self) -> int | None:
        """None for images that are kept."""
        return None if self.rejected_images is None else int(self.rejected_images.removesuffix("d"))
