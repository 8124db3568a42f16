"""Which recipe is meant, where it lies, and reading it."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from imgdiff_assets.home import Home, expanded
from imgdiff_assets.recipe.editions import SHIPPED, shipped_file, shipped_recipes
from imgdiff_assets.recipe.mistakes import RecipeError
from imgdiff_assets.recipe.overrides import override_recipe
from imgdiff_assets.recipe.recipe import Recipe, recipe_of
from resources.loading.api_key import name_server
from resources.loading.bounded_yaml import load_yaml
from resources.loading.settings import ServableSettings

DEFAULT_RECIPE = "miniature"
BY_NAME, BY_ENVIRONMENT, BY_HOME, BY_DEFAULT = "--recipe", "IMGDIFF_RECIPE", "recipe.yaml of the home", "default"


@dataclass(frozen=True, slots=True)
class ChosenRecipe:
    """Which recipe is meant, where it lies, and what said so: one of the `BY_` words."""

    name: str
    path: Path
    by: str

    @property
    def is_shipped(self) -> bool:
        return self.path.is_relative_to(SHIPPED)

    def text(self) -> str:
        """The YAML, with its comments. Raises RecipeError."""
        try:
            return self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise RecipeError(
                f"{self.name}: no such recipe; give a YAML file or one of {', '.join(shipped_recipes())}."
            ) from None
        except (OSError, ValueError) as error:
            raise RecipeError(f"{self.path}: cannot be read as YAML: {' '.join(str(error).split())}") from None

    def values(self) -> dict[str, Any]:
        """What the YAML says. Raises RecipeError."""
        try:
            values = load_yaml(self.text())
        except (ValueError, yaml.YAMLError) as error:
            if isinstance(error, RecipeError):
                raise
            raise RecipeError(f"{self.path}: cannot be read as YAML: {' '.join(str(error).split())}") from None
        if not isinstance(values, dict):
            raise RecipeError(f"{self.path}: a recipe is a mapping of sections; see {SHIPPED / 'miniature.yaml'}.")
        return values


def chosen_recipe(name: str | None = None, anew: bool = False) -> ChosenRecipe:
    """The recipe `name`, else `IMGDIFF_RECIPE`, else `recipe.yaml` of the home, else `miniature`.

    A shipped one is as the home was begun with it, or `anew` as this release ships it. Raises UnreadableEditions.
    """
    by, home = BY_NAME, Home.from_environment()
    if not name and (name := os.environ.get("IMGDIFF_RECIPE")):
        by = BY_ENVIRONMENT
    if not name:
        own = home.recipe
        name, by = (str(own), BY_HOME) if own.is_file() else (DEFAULT_RECIPE, BY_DEFAULT)
    if name not in shipped_recipes():
        return ChosenRecipe(name, expanded(Path(name)), by)
    return ChosenRecipe(name, SHIPPED / f"{name}.yaml" if anew else shipped_file(home, name), by)


def load_recipe(name: str | None = None, overrides: Sequence[str] = (), anew: bool = False) -> Recipe:
    """The recipe `name` (a shipped one, or a YAML file), or the one that `chosen_recipe` tells, `anew` as it says.

    `overrides` are `section.key=value` with YAML values. The servers that it names may be sent the key: nobody but
    the user writes them here. Those of a recipe that was merely found in the home may not. Raises RecipeError,
    UnreadableEditions.
    """
    chosen = chosen_recipe(name, anew)
    recipe = override_recipe(_read(chosen), overrides)
    typed = {override.partition("=")[2].strip() for override in overrides}
    for settings in recipe.roles.values():
        url = settings.base_url if isinstance(settings, ServableSettings) else None
        if url is not None and (chosen.by != BY_HOME or url in typed):
            name_server(url)
    return recipe


def changed_since(name: str | None = None) -> str | None:
    """A sentence where this release ships the recipe otherwise than `IMGDIFF_HOME` goes on with it."""
    then, now = chosen_recipe(name), chosen_recipe(name, anew=True)
    if then == now or _read(then) == _read(now):
        return None
    return (
        f"This release ships another {then.name} than this home was begun with (that of {then.path.parent.name}), "
        "with which it goes on: `imgdiff run --new-recipe --dry-run` tells what today's would make anew."
    )


def _read(chosen: ChosenRecipe) -> Recipe:
    return recipe_of(chosen.path.name, chosen.values())
