"""What is wrong with a recipe, in sentences that name file, key and what to do."""

import difflib
from collections.abc import Sequence

from pydantic import BaseModel, ValidationError

from imgdiff_assets.common.errors import ImgDiffError
from imgdiff_assets.recipe.keys import known_keys
from imgdiff_assets.stages.installed_filter import FILTERS

TOLD_MISTAKES = 100
LONGEST_GIVEN = 80


class RecipeError(ImgDiffError, ValueError):
    """A recipe that cannot be used; the message names file, key and what to do."""


def unknown(key: str, known: Sequence[str]) -> str:
    if key == FILTERS:
        return "no installed package adds a filter here; `imgdiff doctor` lists what is installed."
    key = short(key)
    nearest = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    return f"unknown key {key!r}" + (f"; did you mean {nearest[0]!r}?" if nearest else f"; known: {', '.join(known)}.")


def explain(source: str, error: ValidationError, recipe: type[BaseModel]) -> str:
    """One line per mistake: file, key, what is wrong, what was given."""
    lines = []
    mistakes = error.errors()
    for mistake in mistakes[:TOLD_MISTAKES]:
        where = short(".".join(str(part) for part in mistake["loc"]))
        given = short(repr(mistake["input"]))
        if mistake["type"] == "extra_forbidden":
            known = known_keys(recipe, mistake["loc"][:-1])
            lines.append(f"{source}: {where}: {unknown(str(mistake['loc'][-1]), known)}")
        elif mistake["type"] == "missing":
            lines.append(f"{source}: {where}: this key is required.")
        elif mistake["type"] == "model_type":
            lines.append(f"{source}: {where}: should be a section with keys of its own (given: {given}).")
        elif not where:  # of several sections, which the message names
            lines.append(f"{source}: {mistake['msg'].removeprefix('Value error, ')}")
        else:
            lines.append(f"{source}: {where}: {mistake['msg'].removeprefix('Value error, ')} (given: {given}).")
    if len(mistakes) > TOLD_MISTAKES:
        lines.append(f"{source}: and {len(mistakes) - TOLD_MISTAKES:,} more mistakes.")
    return "\n".join(lines)


def short(text: str) -> str:
    """Text as an error repeats it."""
    text = " ".join(text[: 2 * LONGEST_GIVEN].split())
    return text if len(text) <= LONGEST_GIVEN else f"{text[: LONGEST_GIVEN - 4]} ..."
