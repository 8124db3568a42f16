"""The recipe as Dagster sees it: every value with its description in the launchpad, the recipe's own as default."""

from collections.abc import Mapping
from typing import Any, ClassVar, cast

import dagster as dg
from pydantic import Field, create_model

from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.recipe.stage_settings import (
    BoundingBoxesSettings,
    CaptionsSettings,
    FilteredPairsSettings,
    FineTuneSetSettings,
    ImagePairsSettings,
    PromptPairsSettings,
    RemovalCaptionsSettings,
    RemovedPairsSettings,
)
from imgdiff_assets.stages.graph import STAGE_NAMES
from resources.dagster_resources import launchable_class
from resources.loading.settings import ModelSettings


class PromptPairsConfig(PromptPairsSettings, dg.Config):
    pass


class ImagePairsConfig(ImagePairsSettings, dg.Config):
    pass


class FilteredPairsConfig(FilteredPairsSettings, dg.Config):
    pass


class BoundingBoxesConfig(BoundingBoxesSettings, dg.Config):
    pass


class CaptionsConfig(CaptionsSettings, dg.Config):
    pass


class RemovedPairsConfig(RemovedPairsSettings, dg.Config):
    pass


class RemovalCaptionsConfig(RemovalCaptionsSettings, dg.Config):
    pass


class FineTuneSetConfig(FineTuneSetSettings, dg.Config):
    pass


STAGE_CONFIGS: dict[str, type[dg.Config]] = {
    "prompt_pairs": PromptPairsConfig,
    "image_pairs": ImagePairsConfig,
    "filtered_pairs": FilteredPairsConfig,
    "bounding_boxes": BoundingBoxesConfig,
    "captions": CaptionsConfig,
    "removed_pairs": RemovedPairsConfig,
    "removal_captions": RemovalCaptionsConfig,
    "fine_tune_set": FineTuneSetConfig,
}


class RecipeResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Seed, limits and the thresholds of every stage. The models are resources of their own."""

    base: ClassVar[Recipe]

    seed: int = Field(0, description="All seeds are hashes of this and a row's id.")
    max_error_share: float = Field(0.2, description="A shard with a larger share of failed rows fails.")

    def recipe(self, models: Mapping[str, ModelSettings]) -> Recipe:
        """The recipe of this run: as configured here, with the settings that `models` gives for its roles."""
        values: dict[str, Any] = self.base.model_dump()
        values.update(seed=self.seed, max_error_share=self.max_error_share)
        for name in STAGE_NAMES:
            values[name] = getattr(self, name).model_dump()
        for role, settings in models.items():
            values["models"][role] = settings.model_dump()
        return Recipe.model_validate(values)


def recipe_resource(recipe: Recipe) -> RecipeResource:
    """A resource whose defaults are the values of `recipe`; the launchpad may override any of them for one run."""
    stages: dict[str, Any] = {}
    for name in STAGE_NAMES:
        config = launchable_class(STAGE_CONFIGS[name], getattr(recipe, name))
        stages[name] = (
            config,
            Field(default=config(), description=(STAGE_CONFIGS[name].__base__.__doc__ or "").strip()),
        )
    resource: Any = cast(Any, create_model)(
        "RecipeResource",
        __base__=RecipeResource,
        seed=(int, Field(recipe.seed, description=RecipeResource.model_fields["seed"].description)),
        max_error_share=(
            float,
            Field(recipe.max_error_share, description=RecipeResource.model_fields["max_error_share"].description),
        ),
        **stages,
    )
    resource.base = recipe
    return cast(RecipeResource, resource())
