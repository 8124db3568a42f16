"""The recipe as Dagster sees it: every value with its description in the launchpad, the recipe's own as default."""

import copy
from collections.abc import Mapping
from typing import Any, ClassVar, cast, get_args

import dagster as dg
from pydantic import Field, create_model

from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import stages_of
from imgdiff_assets.stages.settings import StageSettings
from resources.dagster_resources import launchable_class
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
    stages: dict[str, Any] = {}
    for stage in stages_of(recipe):
        config = launchable_class(_config_class(stage.section), stage.settings(recipe))
        stages[stage.name] = (config, Field(default=config(), description=(stage.section.__doc__ or "").strip()))
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


def _config_class(section: type[StageSettings]) -> type[dg.Config]:
    """A section of the recipe as Dagster takes it; so are the sections within it."""
    fields: dict[str, Any] = {}
    for name, field in section.model_fields.items():
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, StageSettings):
                inner = copy.copy(field)
                config = _config_class(kind)
                if kind is field.annotation:
                    fields[name] = (config, inner)
                else:
                    fields[name] = (config | None, inner)
    return cast(
        type[dg.Config],
        cast(Any, create_model)(
            f"{section.__name__}Config", __base__=(section, dg.Config), __doc__=section.__doc__, **fields
        ),
    )
