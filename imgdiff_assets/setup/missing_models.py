"""All models that a run lacks, in one list, with the command that brings them."""

from collections.abc import Sequence

from imgdiff_assets.common.plain_text import bytes_text, counted
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.setup.model_list import ModelState, chosen_roles, model_state
from imgdiff_assets.stages.graph import chosen_stages, stage_named


def missing_text(recipe: Recipe, select: Sequence[str], options: str) -> str | None:
    """What is missing for the stages (default: all); `options` are those that name the recipe.

    None where nothing is.
    """
    named = {role for name in chosen_stages(select or None, recipe) for role in stage_named(name).roles}
    states = [model_state(role, settings) for role, settings in chosen_roles(recipe).items() if role in named]
    absent = [state for state in states if not state.present]
    if not absent:
        return None
    to_fetch = [state for state in absent if state.fetchable]
    lines = [f"{counted(len(absent), 'model')} of the {recipe.name} recipe cannot be run here:"]
    lines += [f"  {state.role:<19} {_what(state)}" for state in absent]
    if to_fetch:
        size = bytes_text(sum(state.disk_bytes or 0 for state in to_fetch))
        lines.append(f"Fetch {'it' if len(to_fetch) == 1 else 'them'} ({size}) with")
        lines.append(f"  imgdiff models pull{options}")
    return "\n".join(lines)


def _what(state: ModelState) -> str:
    if not state.fetchable:
        return str(state.missing)
    size = "" if state.disk_bytes is None else f", {bytes_text(state.disk_bytes)}"
    return f"{state.model}{f'@{state.revision}' if state.revision else ''}{size}"
