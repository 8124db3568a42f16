"""What every model role is configured with; each role extends `ModelSettings` by its own fields."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class ModelSettings(BaseModel):
    """Which model a role runs, where, and in which precision.

    Immutable; unknown fields are refused. Fields use only types that Dagster configuration knows.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(
        min_length=1,
        description="Weights: `miniature:<role>` (shipped with the package), a local folder or file, or a model id "
        "of the Hugging Face hub that is in the local cache.",
    )
    revision: str | None = Field(default=None, description="Branch, tag or commit of a hub model; none means `main`.")
    dtype: Literal["float32", "float16", "bfloat16"] = Field(
        default="float32", description="Floating-point type the model is run in, whatever it is stored in."
    )
    device: str = Field(default="auto", description="`cpu`, `cuda`, `cuda:1`, or `auto`: a GPU if there is one.")
    batch_size: int = Field(
        default=8, ge=1, description="Rows the model sees at once; the results do not depend on it."
    )

    def identity(self) -> dict[str, Any]:
        """Everything a measurement depends on: all fields but those that say only where and how fast it is made."""
        return self.model_dump(exclude={"device", "batch_size"})
