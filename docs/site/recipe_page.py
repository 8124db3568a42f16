"""Every key of a recipe, section by section."""

import inspect
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from docs.site.text import plain, table, type_name
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.recipe.editions import shipped_recipes
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.recipe.role_models import RoleModels

SIGNS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
LONGEST = 60
"""Characters of a value that are shown."""


def recipe_page() -> Iterator[str]:
    """The lines of the page."""
    recipes = {name: load_recipe(name) for name in shipped_recipes()}
    yield "# Keys of a recipe"
    yield ""
    yield "What may be set in a recipe's YAML file, or by `--set section.key=value`. Beside a default stands what a"
    yield f"shipped recipe ({', '.join(f'`{name}`' for name in recipes)}) has instead."
    yield from _section("The recipe itself", Recipe, (), recipes)
    for name, field in Recipe.model_fields.items():
        section = _section_in(field.annotation)
        if section is RoleModels:
            for role, of_role in RoleModels.model_fields.items():
                yield from _section(role, _section_in(of_role.annotation), (name, role), recipes)
        elif section is not None:
            yield from _section(name, section, (name,), recipes)


def _section(title: str, section: Any, path: tuple[str, ...], recipes: Mapping[str, Any]) -> Iterator[str]:
    yield from ("", f"## {title}", "", plain(section.__doc__), "")
    yield from table(("key", "type", "default", "what it does"), _keys(section, path, recipes, outermost=not path))


def _keys(
    section: type[BaseModel], path: tuple[str, ...], recipes: Mapping[str, Any], outermost: bool, above: str = ""
) -> Iterator[tuple[str, ...]]:
    """A row for each key; those of a section within a section as `section.key`."""
    for name, field in section.model_fields.items():
        inner = _section_in(field.annotation)
        if inner is None:
            yield _key(f"{above}{name}", field, (*path, name), recipes)
        elif not outermost:
            yield from _keys(inner, (*path, name), recipes, outermost, f"{above}{name}.")


def _key(name: str, field: FieldInfo, path: tuple[str, ...], recipes: Mapping[str, Any]) -> tuple[str, ...]:
    default = field.get_default(call_default_factory=True)
    shown = ["required" if field.is_required() else f"`{_value(default)}`"]
    others = {recipe: _at(values, path) for recipe, values in recipes.items()}
    shown += [f"{recipe}: `{_value(value)}`" for recipe, value in others.items() if value != default]
    limits = [
        f"{SIGNS[sign]} {getattr(each, sign)}" for each in field.metadata for sign in SIGNS if hasattr(each, sign)
    ]
    return f"`{name}`", ", ".join([type_name(field.annotation), *limits]), "<br>".join(shown), plain(field.description)


def _section_in(annotation: Any) -> type[BaseModel] | None:
    """The section that a field holds, or may hold."""
    for kind in (annotation, *typing.get_args(annotation)):
        if inspect.isclass(kind) and issubclass(kind, BaseModel):
            return kind
    return None


def _at(recipe: Any, path: Sequence[str]) -> Any:
    for name in path:
        recipe = getattr(recipe, name, None)
    return recipe


def _value(value: Any) -> str:
    """As YAML has it, if it is short."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = plain(str(value)) or '""'
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 4]} ..."
