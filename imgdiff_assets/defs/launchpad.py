"""What the launchpad takes: any value of the recipe, each with its description, and none that has to be there.

Dagster writes the defaults of all fields into a launchpad that is opened, and so into the run: a page full, which
would hold whatever the recipe says by then. So a field here has no default, and what is typed is laid over the recipe.
"""

from enum import Enum
from typing import Any, Literal, cast, get_args, get_origin

import dagster as dg
from pydantic import BaseModel, Field, create_model

LONGEST_VALUE = 60


def launchpad_fields(settings: BaseModel) -> dict[str, Any]:
    """Type and default of a field for each of `settings` and of its sections; a section that is off is not shown."""
    fields = {}
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        kinds = (field.annotation, *get_args(field.annotation))
        if value is None and any(isinstance(kind, type) and issubclass(kind, BaseModel) for kind in kinds):
            continue
        if isinstance(value, BaseModel):
            section = cast(Any, create_model)(
                f"{type(value).__name__}Config", __base__=dg.Config, **launchpad_fields(value)
            )
            fields[name] = (section, Field(section(), description=" ".join((type(value).__doc__ or "").split())))
        else:
            # To be null says something where the recipe has a value and it may be null.
            default = value if type(None) in get_args(field.annotation) else None
            described = f"{field.description} {_told(value)}".strip()
            fields[name] = (_taken(field.annotation) | None, Field(default, description=described))
    return fields


def laid_over(settings: BaseModel, typed: BaseModel) -> dict[str, Any]:
    """The values of `settings`, with those that were typed in their place."""
    values = settings.model_dump()
    for name, field in type(typed).model_fields.items():
        value = getattr(typed, name)
        if isinstance(value, BaseModel):
            values[name] = laid_over(getattr(settings, name), value)
        elif value != field.default:
            values[name] = value.value if isinstance(value, Enum) else value
    return values


def _told(value: object) -> str:
    text = repr(value)
    return f"The recipe has {text}." if len(text) <= LONGEST_VALUE else ""


def _taken(kind: Any) -> Any:
    """The type of a field as Dagster takes it where nothing need be there."""
    origin: Any = get_origin(kind)
    if origin is Literal:
        return Enum("Choice", {value: value for value in get_args(kind)})
    if origin in (dict, list):
        # Dagster knows no choices there; the recipe checks them.
        return origin[*(str if get_origin(each) is Literal else each for each in get_args(kind))]
    return kind
