"""What the sections of a recipe are made of."""

from operator import attrgetter
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator

from resources.loading.settings import storable


class StageSettings(BaseModel):
    """A section of the recipe. Immutable; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    _numbers_are_storable = field_validator("*")(storable)


def off_unless_named(description: str) -> Any:
    """The field of a section that belongs to an installed package's part.

    Without its section the part is off, and nothing of it is in what is recorded and hashed: installing changes none.
    """
    return Field(None, exclude_if=lambda section: section is None, description=description)


def left_out(
    default: Any, description: str, examples: list[Any] | None = None, ge: int | None = None, le: int | None = None
) -> Any:
    """The field of a setting that came later: with its default it is in nothing that is recorded and hashed.

    So what was made before goes on as it is. The default never changes.
    """
    return Field(
        default, exclude_if=lambda value: value == default, description=description, examples=examples, ge=ge, le=le
    )


class Sections(Protocol):
    """A recipe as stages see it: its seed, and a section for each stage by the stage's name."""

    @property
    def seed(self) -> int: ...


Settings = TypeVar("Settings", bound=StageSettings)

SEED = "seed"
"""The name by which steps ask for the recipe's seed."""


def value_of(recipe: Sections, section: str, name: str) -> Any:
    """The value that goes by a name: `seed`, a key of the section, or with a dot a key of another section."""
    if name == SEED:
        return recipe.seed
    return attrgetter(name if "." in name else f"{section}.{name}")(recipe)


def lacks_role(recipe: Sections, role: str) -> bool:
    """Whether the recipe has no model for a role that it may be without."""
    return getattr(getattr(recipe, "models", None), role, None) is None


def is_recorded(recipe: Sections, section: str, name: str) -> bool:
    """Whether the value that goes by a name, as `value_of` takes it, is in what is recorded and hashed."""
    if name == SEED:
        return True
    place, _, key = (name if "." in name else f"{section}.{name}").rpartition(".")
    return key in attrgetter(place)(recipe).model_dump(include={key})


def in_order(settings: Settings, low: str, high: str) -> Settings:
    """For validators: limits that nothing can meet would reject everything, silently."""
    if getattr(settings, low) > getattr(settings, high):
        raise ValueError(f"{low} is larger than {high}, so nothing could pass")
    return settings
