"""The recipe as Dagster sees it: what a launchpad says of it, laid over its own values."""

from collections.abc import Mapping
from typing import Any, ClassVar, cast

import dagster as dg
from pydantic import Field, create_model

from imgdiff_assets.defs.launchpad import laid_over, launchpad_fields
from imgdiff_assets.recipe.recipe import Recipe, recipe_of
from imgdiff_assets.stages.graph import stages_of
from resources.loading.settings import ModelSettings


class RecipeResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Seed, limits and the thresholds of every stage. The models are resources of their own."""

    base: ClassVar[Recipe]

    seed: int | None = Field(None, description="All seeds are hashes of this and a row's id.")
    max_error_share: float | None = Field(None, description="A shard with a larger share of failed rows fails.")

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Raises RecipeError before anything is run."""
        self.recipe({})

    def recipe(self, models: Mapping[str, ModelSettings]) -> Recipe:
        """The recipe of this run, with the settings that `models` gives for its roles. Raises RecipeError."""
        values = laid_over(self.base, self)
        values["models"].update({role: settings.model_dump() for role, settings in models.items()})
        return recipe_of("the launchpad", values)


def recipe_resource(recipe: Recipe) -> RecipeResource:
    """The resource of `recipe`: the launchpad may override any of its values for one run."""
    shown = ("seed", "max_error_share", *(stage.name for stage in stages_of(recipe)))
    fields = launchpad_fields(recipe)
    resource: Any = cast(Any, create_model)(
        "RecipeResource", __base__=RecipeResource, **{name: fields[name] for name in shown}
    )
    resource.base = recipe
    return cast(RecipeResource, resource())
