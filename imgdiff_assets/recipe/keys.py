"""The keys that a recipe may have, asked of the class of its sections."""

from collections.abc import Sequence
from typing import Any, get_args

from pydantic import BaseModel


def section_at(recipe: type[BaseModel], path: Sequence[Any]) -> type[BaseModel] | None:
    """The class of the section at `path`; None for a place that is not a section."""
    section: type[BaseModel] | None = recipe
    for part in path:
        field = section.model_fields.get(part) if section is not None else None
        section = section_in(field.annotation) if field is not None else None
    return section


def known_keys(recipe: type[BaseModel], path: Sequence[Any]) -> list[str]:
    """The keys of the section at `path`; none for a place that is not a section."""
    section = section_at(recipe, path)
    return list(section.model_fields) if section is not None else []


def is_off_unless_named(recipe: type[BaseModel], path: Sequence[Any]) -> bool:
    """Whether the section at `path` is that of an installed part: `{}` has it on with its defaults, `null` off."""
    section = section_at(recipe, path[:-1])
    return section is not None and path[-1] in section.model_fields and section.model_fields[path[-1]].default is None


def section_in(annotation: Any) -> type[BaseModel] | None:
    """The section that a field holds, or may hold."""
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None
