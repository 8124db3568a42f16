"""Values that are laid over a recipe, as `--set section.key=value` writes them."""

from collections.abc import Sequence
from typing import Any

import yaml

from imgdiff_assets.recipe.keys import is_off_unless_named, known_keys, section_at
from imgdiff_assets.recipe.mistakes import RecipeError, short, unknown
from imgdiff_assets.recipe.recipe import Recipe, recipe_of
from imgdiff_assets.recipe.role_models import RoleModels
from resources.loading.bounded_yaml import load_yaml


def override_recipe(recipe: Recipe, overrides: Sequence[str]) -> Recipe:
    """`recipe` with `section.key=value` applied. Raises RecipeError."""
    values = recipe.model_dump(mode="json")
    for override in overrides:
        _apply(values, override)
    return recipe_of("--set", values)


def key_path(key: str) -> list[str]:
    """Where a key lies that is written as in `--set`: a role's without `models.` before it."""
    parts = key.strip().split(".")
    return ["models", *parts] if parts[0] in RoleModels.model_fields else parts


def _apply(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    parts = key_path(key)
    if not equals or not all(parts):
        raise RecipeError(f"--set {override}: write section.key=value, as in filtered_pairs.min_similarity=0.85.")
    section: Any = values
    for index, part in enumerate(parts[:-1]):
        if part not in known_keys(Recipe, parts[:index]):
            raise RecipeError(f"--set {override}: {unknown(part, known_keys(Recipe, parts[:index]))}")
        if part not in section or (section[part] is None and known_keys(Recipe, parts[: index + 1])):
            section[part] = {}
        section = section[part]
        if not isinstance(section, dict):
            raise RecipeError(f"--set {override}: {'.'.join(parts[: index + 1])} is a value, not a section.")
    try:
        value = load_yaml(text)
    except (ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise RecipeError(f"--set {short(override)}: {short(text)!r} is not a YAML value ({reason}).") from None
    if section_at(Recipe, parts) is None:
        section[parts[-1]] = value
    elif is_off_unless_named(Recipe, parts) and value == {}:
        section.setdefault(parts[-1], {})
    elif is_off_unless_named(Recipe, parts) and value is None:
        section.pop(parts[-1], None)
    else:
        raise RecipeError(f"--set {override}: {'.'.join(parts)} is a section; set its keys one by one.")
