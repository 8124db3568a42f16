"""The recipe as Dagster sees it: every value with its description in the launchpad, the recipe's own as default."""

import copy
from collections.abc import Mapping
from typing import Any, ClassVar, cast

import dagster as dg
from pydantic import Field, create_model

from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import stages_of
from imgdiff_assets.stages.settings import StageSettings
from resources.loading.settings import ModelSettings


class RecipeResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Seed, limits and the thresholds of every stage. The models are resources of their own."""

    base: ClassVar[Recipe]

    seed: int = Field(0, description="All seeds are hashes of this and a row's id.")
    max_error_share: float = Field(0.2, description="A shard with a larger share of failed rows fails.")

    def recipe(self, models: Mapping[str, ModelSettings]) -> Recipe:
        """The recipe of this run: as configured here, with the settings that `models` gives for its roles."""
        values: dict[str, Any] = self.base.model_dump()
        values.update(seed=self.seed, max_error_share=self.max_error_share)
        for stage in stages_of(self.base):
            values[stage.name] = getattr(self, stage.name).model_dump()
        for role, settings in models.items():
            values["models"][role] = settings.model_dump()
        return Recipe.model_validate(values)


def recipe_resource(recipe: Recipe) -> RecipeResource:
    """A resource whose defaults are the values of `recipe`; the launchpad may override any of them for one run."""
    stages = {stage.name: _launchable(stage.settings(recipe)) for stage in stages_of(recipe)}
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


def _launchable(settings: StageSettings) -> tuple[type[dg.Config], Any]:
    """Type and default of a section as Dagster takes it, and of those within it; what is off is not shown."""
    section, shown = type(settings), settings.model_dump().keys()
    fields = {}
    for name in shown:
        value, field = getattr(settings, name), copy.copy(section.model_fields[name])
        field.default, field.default_factory = value, None
        fields[name] = _launchable(value) if isinstance(value, StageSettings) else (field.annotation, field)
    # The class, or the one that packages added to.
    base = next(
        kind for kind in section.__mro__ if issubclass(kind, StageSettings) and kind.model_fields.keys() <= shown
    )
    config = cast(Any, create_model)(
        f"{section.__name__}Config", __base__=(base, dg.Config), __doc__=section.__doc__, **fields
    )
    return config, Field(default=config(), description=(section.__doc__ or "").strip())
