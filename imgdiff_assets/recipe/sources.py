"""Where each value of a recipe comes from, and how two recipes differ."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from imgdiff_assets.recipe.chosen_recipe import BY_DEFAULT, BY_ENVIRONMENT, BY_HOME, BY_NAME, ChosenRecipe
from imgdiff_assets.recipe.overrides import key_path, override_recipe
from imgdiff_assets.recipe.recipe import Recipe

SET, SHIPPED, DEFAULT, BEGUN = "--set", "shipped", "default", "as this home was begun"
COLUMN = 60
"""Where the sources stand, if the value leaves room."""


@dataclass(frozen=True, slots=True)
class Value:
    """One value of a recipe by its path, as JSON, and where it comes from."""

    path: tuple[str, ...]
    value: Any
    source: str


def values_of(recipe: Recipe, chosen: ChosenRecipe, overrides: Sequence[str] = ()) -> list[Value]:
    """All values of a recipe that was loaded by `chosen` with `overrides`, in the order of its sections."""
    written = dict(_leaves(chosen.values()))
    told = {tuple(key_path(override.partition("=")[0])) for override in overrides}
    plain = dict(_leaves(override_recipe(Recipe.model_validate(chosen.values()), overrides).model_dump(mode="json")))
    found = []
    for path, value in _leaves(recipe.model_dump(mode="json")):
        if any(path[: len(each)] == each for each in told):
            source = SET
        elif plain.get(path) != value:
            source = BEGUN
        elif any(path[: len(each)] == each for each in written):
            source = SHIPPED if chosen.is_shipped else chosen.path.name
        else:
            source = DEFAULT
        found.append(Value(path, value, source))
    return found


def show(chosen: ChosenRecipe, values: Sequence[Value], everything: bool) -> str:
    """The recipe as YAML, with where each value comes from; without defaults unless `everything` is asked for."""
    lines, above = [f"# {said_by(chosen)}"], tuple[str, ...]()
    for each in values:
        if each.source == DEFAULT and not everything:
            continue
        for depth in range(len(each.path) - 1):
            if each.path[: depth + 1] != above[: depth + 1]:
                lines.append(f"{'  ' * depth}{each.path[depth]}:")
        above = each.path
        line = f"{'  ' * (len(each.path) - 1)}{each.path[-1]}: {flow(each.value)}"
        lines.append(f"{line:<{COLUMN}}  # {each.source}")
    return "\n".join(lines)


def said_by(chosen: ChosenRecipe) -> str:
    """Which recipe it is, and what said so."""
    what = f"The recipe {chosen.name}, as it is shipped" if chosen.is_shipped else f"The recipe in {chosen.path}"
    why = {
        BY_NAME: "by --recipe",
        BY_ENVIRONMENT: "by IMGDIFF_RECIPE",
        BY_HOME: "for it lies in the home",
        BY_DEFAULT: "for neither --recipe nor IMGDIFF_RECIPE nor a recipe.yaml in the home names another",
    }
    return f"{what}, {why[chosen.by]}."


def differences(one: Recipe, other: Recipe) -> list[tuple[str, Any, Any]]:
    """The keys by which two recipes differ, with the value in each; None where a recipe lacks the key."""
    first, second = (dict(_leaves(recipe.model_dump(mode="json"))) for recipe in (one, other))
    paths = dict.fromkeys([*first, *second])
    return [
        (".".join(path).removeprefix("models."), first.get(path), second.get(path))
        for path in paths
        if first.get(path) != second.get(path)
    ]


def flow(value: Any) -> str:
    """A value in one line of YAML."""
    return (
        yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=2**31).removesuffix("...\n").strip()
    )


def _leaves(values: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, (*path, str(key)))
        else:
            yield (*path, str(key)), value
