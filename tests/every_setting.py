"""Values for every setting of every stage, drawn by the sections' own types and limits: a new one is among them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, get_args, get_origin

from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import COMMON_STAGES as STAGES

OF_OTHER_MODELS = ("prompt_pairs.answer", "bounding_boxes.propose")
"""Not among them: models of chance answer no questions, and find nothing by name."""

FARTHEST = 6
"""How far a drawn whole number is from the recipe's: an image of 64 pixels has no use for larger paddings."""


def overrides(recipe: Recipe, most: int = 3) -> st.SearchStrategy[list[str]]:
    """A few settings with other values, as `--set` takes them. Not every one makes a recipe: limits may cross."""
    each = [strategy.map(lambda value, name=name: _written(name, value)) for name, strategy in every_setting(recipe)]
    return st.lists(st.one_of(each), min_size=1, max_size=most, unique_by=lambda override: override.partition("=")[0])


def every_setting(recipe: Recipe) -> Iterator[tuple[str, st.SearchStrategy[Any]]]:
    """`stage.key` of each setting of all stages, with a strategy for other values of it. Raises TypeError."""
    for stage in STAGES:
        if (section := stage.settings(recipe)) is not None:
            yield from (each for each in _settings(stage.name, section) if each[0] not in OF_OTHER_MODELS)


def _written(name: str, value: Any) -> str:
    return f"{name}={json.dumps(value)}"


def _settings(name: str, section: BaseModel) -> Iterator[tuple[str, st.SearchStrategy[Any]]]:
    for key, field in type(section).model_fields.items():
        value = getattr(section, key)
        if isinstance(value, BaseModel):
            yield from _settings(f"{name}.{key}", value)
        else:
            yield f"{name}.{key}", _values(field, value)


def _values(field: FieldInfo, value: Any) -> st.SearchStrategy[Any]:
    """Values of the field's type, within its limits, and most of them near the recipe's."""
    limits = {
        name: getattr(limit, name) for limit in field.metadata for name in ("ge", "gt", "le") if hasattr(limit, name)
    }
    if field.examples:
        return st.sampled_from([value, *field.examples])
    if get_origin(field.annotation) is Literal:
        return st.sampled_from(get_args(field.annotation))
    if isinstance(value, bool):
        return st.booleans()
    if isinstance(value, int):
        return st.integers(
            max(limits["ge"], value - FARTHEST), min(limits.get("le", value + FARTHEST), value + FARTHEST)
        )
    if isinstance(value, float):
        low, high = limits.get("ge", limits.get("gt", 0) + 0.001), limits["le"]
        near = st.floats(max(low, value - 0.1), min(high, value + 0.1))
        return st.one_of(near, st.floats(low, high)).map(lambda drawn: round(drawn, 4))
    if value is None or value == []:
        return st.just(value)
    return _altered(value)


def _altered(value: Any) -> st.SearchStrategy[Any]:
    """Texts with a little more at the end; lists that lack some of their values, or have few of them."""
    if isinstance(value, str):
        return st.sampled_from([value, f"{value} "])
    if isinstance(value, Mapping):
        return st.fixed_dictionaries({}, optional={name: _altered(held) for name, held in value.items()})
    if isinstance(value, Sequence) and value:
        few = st.lists(st.sampled_from(value), min_size=1, max_size=2, unique=True)
        return st.one_of(
            few, few.map(lambda left_out: [held for held in value if held not in left_out] or list(value))
        )
    raise TypeError(f"no other values are known for {value!r}")
