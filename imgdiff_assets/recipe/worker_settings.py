"""The section `workers` of a recipe: how many processes measure a shard's batches together, and where."""

from typing import Literal

from pydantic import Field

from imgdiff_assets.stages.settings import StageSettings

NONE, LOCAL, RAY = "none", "local", "ray"


class WorkersSettings(StageSettings):
    """Processes that measure the batches of a shard together. No row depends on them."""

    backend: Literal["none", "local", "ray"] = Field(
        "none",
        description="`none`: the run's own process measures. `local`: processes of this machine. `ray`: actors of "
        "Ray (`pip install 'imgdiff-assets[ray]'`).",
    )
    count: int | None = Field(
        None,
        ge=1,
        description="How many workers; none: one for each card, here or in Ray's cluster, at least one.",
    )
    address: str | None = Field(
        None,
        description="Of Ray's cluster, such as `auto` or `ray.example.org:6379`; none: Ray is started on this "
        "machine, and stopped with the run.",
    )
    cpus: float = Field(1.0, ge=0, description="Cores that Ray keeps for a worker; its threads are as many.")
    gpus: float | None = Field(
        None, ge=0, description="Cards that Ray keeps for a worker; none: one, where the cluster has any."
    )
    placement: Literal["pack", "spread"] = Field(
        "pack", description="Whether Ray fills one machine after the other, or spreads workers over all of them."
    )

    def with_count(self, count: int | None) -> "WorkersSettings":
        """With so many workers, on this machine unless another place is named; None changes nothing."""
        if count is None:
            return self
        backend = LOCAL if self.backend == NONE else self.backend
        return self.model_copy(update={"count": count, "backend": backend})
