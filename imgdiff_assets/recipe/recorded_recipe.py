"""The recipe that tables were made with, as their own records tell it."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from imgdiff_assets.common.errors import ImgDiffError
from imgdiff_assets.recipe.recipe import RECORDED, Recipe
from resources.backends.choice import fields_of


class UnknownOrigin(ImgDiffError, ValueError):
    """A record that does not say how its table was made."""


def recorded_recipe(base: Recipe, records: Sequence[Mapping[str, Any]]) -> Recipe:
    """`base` with the seed, the stages' settings and the models that the records of some stages name.

    Device and batch size are `base`'s own: rows do not depend on them. Raises UnknownOrigin.
    """
    values = base.model_dump()
    for record in records:
        try:
            values["seed"] = record["seed"]
            values[record["asset"]] = record["settings"]
            for role, identity in record["models"].items():
                values["models"][role] = {**(values["models"].get(role) or {}), **fields_of(identity)}
        except (KeyError, TypeError, AttributeError) as error:
            raise _unknown(record) from error
    try:
        # Other sections are the base's, which may have none of what these ask for.
        return Recipe.model_validate(values, context=RECORDED)
    except ValidationError as error:
        raise _unknown(records[0]) from error


def _unknown(record: Mapping[str, Any]) -> UnknownOrigin:
    return UnknownOrigin(
        f"{record.get('asset')}: a table was made by another version of imgdiff, and does not say with which settings "
        "in a way that this one knows; `imgdiff run` brings it up to date."
    )
