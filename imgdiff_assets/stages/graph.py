"""The stages in the order of the graph: this project's, and those that installed packages add."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, cast

from pydantic import Field, SerializationInfo, SerializerFunctionWrapHandler, create_model, model_serializer

from imgdiff_assets.stages import (
    bounding_boxes,
    captions,
    filtered_pairs,
    fine_tune_set,
    image_pairs,
    prompt_pairs,
    removal_captions,
    removed_pairs,
)
from imgdiff_assets.stages.settings import Sections, StageSettings
from imgdiff_assets.stages.stage import OUTSIDE, Stage
from imgdiff_assets.stages.steps import Filter, Step
from resources.installed import BrokenPart, Offer, offers

OURS: tuple[Stage, ...] = (
    prompt_pairs.STAGE,
    image_pairs.STAGE,
    filtered_pairs.STAGE,
    bounding_boxes.STAGE,
    captions.STAGE,
    removed_pairs.STAGE,
    removal_captions.STAGE,
    fine_tune_set.STAGE,
)


@dataclass(frozen=True, slots=True)
class InstalledFilter:
    """A filter that a package adds to the end of a stage, with what it needs: what the package's entry point names.

    `steps` are the filter and, before it, the measurements and derivations of its own that it reads. `settings` is
    the class of its settings: in a recipe they stand in the stage's section, under `filters` and the filter's name,
    and a recipe without them has the filter switched off.
    """

    stage: str
    settings: type[StageSettings]
    steps: tuple[Step, ...]


class Filters(StageSettings):
    """The filters that installed packages add to a stage, by name; a filter that is not named here is off."""

    @model_serializer(mode="wrap")
    def _those_that_are_on(self, dump: SerializerFunctionWrapHandler, info: SerializationInfo) -> dict[str, Any]:
        # What is installed and not used changes nothing, no hash of settings either.
        return {name: values for name, values in dump(self).items() if values is not None}


def build_graph(
    ours: Collection[Stage], filters: Collection[Offer] = (), stages: Collection[Offer] = ()
) -> tuple[Stage, ...]:
    """All stages, parents first, with the steps that packages add. Raises BrokenPart."""
    graph = list(ours)
    for offer in stages:
        graph.append(_checked(offer, graph))
    for stage in list(graph):
        added = [offer for offer in filters if _filter_of(offer).stage == stage.name]
        if added:
            graph[graph.index(stage)] = _extended(stage, added)
    for offer in filters:
        if offer.part.stage not in {stage.name for stage in graph}:
            raise _broken(offer, f"it names the stage {offer.part.stage!r}, which there is not")
    return tuple(graph)


def _checked(offer: Offer, graph: Collection[Stage]) -> Stage:
    if not isinstance(offer.part, Stage) or offer.part.name != offer.name:
        raise _broken(offer, f"it is not a Stage named {offer.name!r}")
    known = {stage.name for stage in graph}
    if offer.name in known:
        raise _broken(offer, "there is a stage of that name")
    unknown = sorted(set(offer.part.parents) - known - set(OUTSIDE))
    if unknown:
        raise _broken(offer, f"its parent {unknown[0]!r} is not a stage before it")
    return replace(offer.part, package=offer.package)


def _filter_of(offer: Offer) -> InstalledFilter:
    if not isinstance(offer.part, InstalledFilter) or not isinstance(offer.part.steps[-1], Filter):
        raise _broken(offer, "it is not an InstalledFilter whose last step is a Filter")
    return offer.part


def _extended(stage: Stage, added: Collection[Offer]) -> Stage:
    """The stage with the steps of its installed filters, each bound to its part of the section."""
    steps = list(stage.steps)
    fields: dict[str, Any] = {}
    for offer in added:
        steps += [replace(step, section=f"filters.{offer.name}") for step in offer.part.steps]
        described = Field(None, description=f"{(offer.part.settings.__doc__ or '').strip()} ({offer.package})")
        fields[offer.name] = (offer.part.settings | None, described)
        names = [step.column.name if hasattr(step, "column") else step.name for step in steps]
        twice = sorted({name for name in names if names.count(name) > 1} - _own_names(stage))
        if twice:
            raise _broken(offer, f"{stage.name} has a step {twice[0]!r} already")
    filters = cast(Any, create_model)(f"{stage.section.__name__}Filters", __base__=Filters, **fields)
    section = cast(Any, create_model)(
        stage.section.__name__,
        __base__=stage.section,
        __doc__=stage.section.__doc__,
        filters=(filters, Field(filters(), description=(Filters.__doc__ or "").strip())),
    )
    return replace(stage, section=section, steps=tuple(steps))


def _own_names(stage: Stage) -> set[str]:
    """Names that the stage itself uses for two of its steps, such as a derivation and the filter that reads it."""
    names = [step.column.name if hasattr(step, "column") else step.name for step in stage.steps]
    return {name for name in names if names.count(name) > 1}


def _broken(offer: Offer, why: str) -> BrokenPart:
    return BrokenPart(
        f"{offer.package} {offer.package_version} offers {offer.name!r}, but {why}: uninstall or mend it."
    )


STAGES: tuple[Stage, ...] = build_graph(
    OURS, offers("imgdiff_assets.filters").values(), offers("imgdiff_assets.stages").values()
)
STAGE_NAMES: tuple[str, ...] = tuple(stage.name for stage in STAGES)
SAMPLES = fine_tune_set.STAGE.name
"""The stage whose rows are the samples."""


def stage_named(name: str) -> Stage:
    """Raises KeyError for a name that is not a stage's."""
    return {stage.name: stage for stage in STAGES}[name]


def stages_of(recipe: Sections) -> tuple[Stage, ...]:
    """The graph as a recipe has it: without installed stages and steps that it does not name."""
    return tuple(stage.under(recipe) for stage in STAGES if stage.settings(recipe) is not None)


def chosen_stages(names: Collection[str] | None, recipe: Sections) -> tuple[str, ...]:
    """These stages, or all of the recipe's, in the order of the graph. Raises ValueError for an unknown name."""
    known = tuple(stage.name for stage in stages_of(recipe))
    unknown = sorted(set(names or ()) - set(known))
    if unknown:
        raise ValueError(f"{unknown[0]!r} is not an asset; the assets are {', '.join(known)}.")
    return tuple(name for name in known if not names or name in names)
