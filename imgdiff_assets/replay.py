"""Making a row of the ledger again from its lineage alone, and saying precisely what differs.

Every measurement of every row above it, and of the row itself, is made again from what the ledger holds: captions,
seeds, settings and models as recorded, and the stored results of the measurements before. So a difference is named
where it arises; if there is none, the whole chain gives the same again.
"""

from dataclasses import asdict, dataclass, field
from typing import Any

from imgdiff_assets.compare import Comparison, Verdict
from imgdiff_assets.home import Home
from imgdiff_assets.images import PairImages, Pixels
from imgdiff_assets.ledger import Ledger
from imgdiff_assets.lineage import find_row
from imgdiff_assets.models import Models
from imgdiff_assets.recipe import Recipe


class ReplayError(ValueError):
    """A row that cannot be replayed at all."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """One measurement made again; `failure` says why it could not be made."""

    stage: str
    measurement: str
    comparisons: list[Comparison] = field(default_factory=list)
    failure: str = ""

    @property
    def verdict(self) -> Verdict:
        return (
            Verdict.DIFFERS
            if self.failure
            else max((comparison.verdict for comparison in self.comparisons), default=Verdict.SAME)
        )


@dataclass(slots=True)
class Replay:
    """What came of it.

    `origins` are differences in what rows are made with (weights, code), each of which makes the replay differ;
    `surroundings` those of libraries and devices, which explain other differences and are none by themselves.
    """

    id: str
    kind: str
    shard: str
    seed: int | None = None
    captions: tuple[str, str] | None = None
    steps: list[Replayed] = field(default_factory=list)
    origins: list[str] = field(default_factory=list)
    surroundings: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> Verdict:
        if self.origins:
            return Verdict.DIFFERS
        return max((step.verdict for step in self.steps), default=Verdict.SAME)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        steps = [{**asdict(step), "verdict": step.verdict} for step in self.steps]
        return {"verdict": self.verdict, **asdict(self), "steps": steps}


@dataclass(slots=True)
class _Work:
    """What measurements are handed; see `imgdiff_assets.stage.Work`."""

    recipe: Recipe
    models: Models
    pair_images: PairImages

    def model(self, role: str) -> Any:
        return self.models.open(role)

    def images(self, pair_id: str) -> tuple[Pixels, Pixels]:
        return self.pair_images(pair_id)


def replay(home: Home, base: Recipe, prefix: str, models_of: "ModelsOf") -> Replay:
    """Make the row again whose id begins with `prefix`: of a pair, a region or a sample.

    `base` says on which devices; `models_of(recipe)` gives the models of a recipe. Raises LineageError, ReplayError,
    UnknownOrigin, DamagedTable.
    """
    ledger = Ledger(home.ledger)
    column, identity, shard = find_row(home, ledger, prefix)
