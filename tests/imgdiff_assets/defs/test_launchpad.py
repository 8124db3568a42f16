from collections.abc import Iterator
from typing import Any, get_args

import dagster as dg
import pytest
from pydantic import BaseModel, create_model

from imgdiff_assets.defs.launchpad import launchpad_fields
from imgdiff_assets.recipe.recipe import Recipe


def sections(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """The sections of a recipe, at any depth, and those that are off unless named."""
    for field in model.model_fields.values():
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield kind
                yield from sections(kind)


ALL = {section.__name__: section for section in sections(Recipe)}


@pytest.mark.parametrize("name", ALL)
def test_dagster_takes_every_section_of_a_recipe_also_those_that_are_off_unless_named(name):
    defaults = {
        key: None if field.is_required() else field.get_default(call_default_factory=True)
        for key, field in ALL[name].model_fields.items()
    }
    settings: Any = ALL[name].model_construct(**defaults)

    config: Any = create_model("Shown", __base__=dg.Config, **launchpad_fields(settings))

    taken = config.to_config_schema().as_field().config_type.fields
    assert set(taken) <= set(ALL[name].model_fields)


def test_derived_pairs_are_among_them():
    assert "DerivedPairsSettings" in ALL
