"""A recipe's YAML with other values in it, its comments kept: what `imgdiff init` and `imgdiff recipe copy` write."""

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import yaml

from imgdiff_assets.recipe.chosen_recipe import ChosenRecipe, load_recipe
from imgdiff_assets.recipe.mistakes import RecipeError
from imgdiff_assets.recipe.overrides import key_path, override_recipe
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.recipe.sources import differences, flow
from resources.loading.bounded_yaml import load_yaml


def with_overrides(text: str, overrides: Sequence[str]) -> str:
    """The text with `section.key=value` written into it.

    Raises RecipeError for what is no value of a recipe, and for a text that is laid out in a way that is not known.
    """
    meant = override_recipe(Recipe.model_validate(load_yaml(text)), overrides)
    lines = text.rstrip("\n").split("\n")
    for override in overrides:
        key, _, value = override.partition("=")
        _set(lines, key_path(key), load_yaml(value))
    written = "\n".join(lines) + "\n"
    # Lines were moved without a look at what YAML means by them.
    with suppress(ValueError, yaml.YAMLError):
        if Recipe.model_validate(load_yaml(written)) == meant:
            return written
    raise RecipeError(
        f"{', '.join(overrides)}: not written, for the recipe is laid out otherwise: write it in by hand."
    )


def copy_text(chosen: ChosenRecipe, overrides: Sequence[str], name: str) -> str:
    """The text of a recipe with all that a run by it goes by in this home, under another name. Raises RecipeError."""
    loaded = load_recipe(chosen.name, overrides)
    begun = differences(override_recipe(Recipe.model_validate(chosen.values()), overrides), loaded)
    told = [*overrides, *(f"{key}={flow(value)}" for key, _, value in begun)]
    return named(with_overrides(chosen.text(), told), name)


def named(text: str, name: str) -> str:
    """The text as that of a recipe of another name."""
    return re.sub(r"(?m)^name:.*$", f"name: {json.dumps(name)}", text, count=1)


def _set(lines: list[str], path: Sequence[str], value: Any) -> None:
    """Put one value in its place, where `lines` have two spaces for each level."""
    start, end = 0, len(lines)
    for depth, key in enumerate(path):
        indent = "  " * depth
        at = next((n for n in range(start, end) if re.match(rf"{indent}{re.escape(key)}:(\s|$)", lines[n])), None)
        last = depth == len(path) - 1
        line = f"{indent}{key}:" + (f" {flow(value)}" if last else "")
        if at is None:
            # At the top before blank lines and comments that belong to what follows; within a section, first.
            lines.insert(start if depth else end, line)
            start, end = (start if depth else end) + 1, (start if depth else end) + 1
        else:
            end = _end_of(lines, at, depth)
            if last:
                lines[at:end] = [line]
            start = at + 1


def _end_of(lines: Sequence[str], at: int, depth: int) -> int:
    """Where the block of the key at a line ends: what follows is not deeper."""
    deeper = "  " * depth + " "
    end = at + 1
    for number in range(at + 1, len(lines)):
        if lines[number].startswith((deeper, "  " * depth + "]")):
            end = number + 1
        elif lines[number].strip():
            break
    return end
