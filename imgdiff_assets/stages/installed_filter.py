"""A filter that an installed package adds to a stage, and the stage with such filters at its end."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from pydantic import Field, create_model

from imgdiff_assets.stages.part_checks import mistakes
from imgdiff_assets.stages.settings import StageSettings, off_unless_named
from imgdiff_assets.stages.stage import Stage
from imgdiff_assets.stages.steps import Filter, Step
from resources.installed import Offer

FILTERS = "filters"
"""The key of a stage's section under which the settings of installed filters stand."""


@dataclass(frozen=True, slots=True)
class InstalledFilter:
    """What the entry point of an installed filter names.

    The last of `steps` is the filter, and has the entry point's name; before it stand the measurements and derivations
    of its own that it reads. They follow all steps of the stage named `stage`. `settings` is the class of the filter's
    settings: in a recipe they stand in the stage's section, under `filters` and the filter's name, and a recipe
    without them has the filter switched off.
    """

    stage: str
    settings: type[StageSettings]
    steps: tuple[Step, ...]


def filter_of(offer: Offer) -> InstalledFilter:
    """What is offered. Raises BrokenPart where it is no filter of that name."""
    part = offer.part
    if not isinstance(part, InstalledFilter) or not part.steps or not isinstance(part.steps[-1], Filter):
        raise offer.broken("it is not an InstalledFilter whose last step is a Filter")
    if part.steps[-1].name != offer.name or not offer.name.isidentifier():
        raise offer.broken(f"the filter is named {part.steps[-1].name!r}, and must have that name, of one word")
    return part


def with_filters(stage: Stage, added: Sequence[Offer]) -> Stage:
    """The stage with the steps of installed filters, each bound to its part of the section. Raises BrokenPart."""
    fields: dict[str, Any] = {}
    for offer in added:
        part = filter_of(offer)
        for mistake in mistakes(stage, part.steps, part.settings):
            raise offer.broken(mistake)
        steps = (replace(step, section=f"{FILTERS}.{offer.name}") for step in part.steps)
        stage = replace(stage, steps=(*stage.steps, *steps))
        description = f"{(part.settings.__doc__ or '').strip()} ({offer.package} {offer.package_version})"
        fields[offer.name] = (part.settings, off_unless_named(description))
    name, plain = stage.section.__name__, stage.section
    filters = cast(Any, create_model)(f"{name}Filters", __base__=StageSettings, **fields)
    # Of filters that are off there is nothing in a hash of settings: installing one makes no table stale.
    field = Field(filters(), exclude_if=lambda those: not those.model_dump(), description="Filters of packages.")
    section = cast(Any, create_model)(name, __base__=plain, __doc__=plain.__doc__, **{FILTERS: (filters, field)})
    return replace(stage, section=section)
