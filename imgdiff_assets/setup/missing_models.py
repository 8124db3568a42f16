"""All models that a run lacks, in one list, with the command that brings them."""

from collections.abc import Collection

from imgdiff_assets.common.plain_text import bytes_text, counted
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.setup.model_list import ModelState, chosen_roles, distinct, model_state


def missing_text(recipe: Recipe, roles: Collection[str], options: str) -> str | None:
    """What is missing of the roles; `options` are those that name the recipe. None where nothing is."""
    of_all = chosen_roles(recipe)
    states = [model_state(role, settings) for role, settings in of_all.items() if role in roles]
    absent = [state for state in states if not state.present]
    if not absent:
        return None
    to_fetch = [state for state in absent if state.fetchable]
    if len(absent) == 1 and not to_fetch:
        return absent[0].missing
    lines = [f"{counted(len(distinct(absent)), 'model')} of the {recipe.name} recipe cannot be run here:"]
    lines += [f"  {state.role:<19} {_what(state)}" for state in absent]
    if to_fetch:
        fetched = distinct(to_fetch)
        size = bytes_text(sum(state.disk_bytes or 0 for state in fetched))
        lines.append(f"Fetch {'it' if len(fetched) == 1 else 'them'} ({size}) with")
        only = "" if len(states) == len(of_all) else f" --roles {' '.join(state.role for state in to_fetch)}"
        lines.append(f"  imgdiff models pull{options}{only}")
    return "\n".join(lines)


def _what(state: ModelState) -> str:
    if not state.fetchable:
        return str(state.missing)
    size = "" if state.disk_bytes is None else f", {bytes_text(state.disk_bytes)}"
    return f"{state.model}{f'@{state.revision}' if state.revision else ''}{size}"
