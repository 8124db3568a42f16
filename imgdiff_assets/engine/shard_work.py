"""What measurements are handed while they run: the models, and the images that a shard has."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Any

from imgdiff_assets.common.aliases import Pixels
from imgdiff_assets.engine.loaded_models import LoadedModels
from imgdiff_assets.ledger.images import ErasedImages, GivenImages, PairImages, StoredImages
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.stage import Stage
from imgdiff_assets.stages.steps import Measurement


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the images of a shard are: all that another process needs to open them too.

    `pairs`, `derived` and `erased` say whether the stage has tables of these among its parents.
    """

    ledger: PurePath
    shard: str
    pairs: bool = False
    derived: bool = False
    erased: bool = False
    given: PurePath | None = None

    def open(self, models: LoadedModels) -> "ShardWork":
        """Raises FileNotFoundError, DamagedTable."""
        ledger = Ledger(self.ledger)
        return ShardWork(
            models,
            self,
            pair_images=PairImages(ledger, self.shard, self.derived) if self.pairs else None,
            erased_images=ErasedImages(ledger, self.shard) if self.erased else None,
            given_images=GivenImages(self.given) if self.given is not None else None,
        )


@dataclass(slots=True)
class ShardWork:
    """See `imgdiff_assets.stages.steps.Work`; asking for images that there are none of raises LookupError.

    `ahead` are pairs that were read before they were asked for.
    """

    models: LoadedModels
    sources: Sources
    settings: Mapping[str, Any] = field(default_factory=dict)
    pair_images: PairImages | None = None
    erased_images: StoredImages | None = None
    given_images: StoredImages | None = None
    ahead: Mapping[str, tuple[Pixels, Pixels]] = field(default_factory=dict)

    def with_settings(self, stage: Stage, recipe: Recipe, step: Measurement) -> "ShardWork":
        """The same for one measurement, which sees the settings that it names and no others."""
        return replace(self, settings=stage.values(recipe, (*step.settings, *step.indifferent), step))

    def model(self, role: str) -> Any:
        return self.models.open(self.models.player(role))

    def images(self, pair_id: str) -> tuple[Pixels, Pixels]:
        if pair_id in self.ahead:
            return self.ahead[pair_id]
        if self.pair_images is None:
            raise LookupError("the shard has no image pairs here")
        return self.pair_images(pair_id)

    def erased(self, region_id: str) -> Pixels:
        if self.erased_images is None:
            raise LookupError("the shard has no erased images here")
        return self.erased_images(region_id)[0]

    def given(self, pair_id: str) -> Mapping[str, Any]:
        if self.given_images is None:
            raise LookupError("no images were given")
        return self.given_images.encoded(pair_id)

    def close(self) -> None:
        for images in (self.pair_images, self.erased_images, self.given_images):
            if images is not None:
                images.close()
