"""The stages in the order of the graph: this project's, and those that installed packages add."""

from collections.abc import Collection, Iterator
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter

from imgdiff_assets.common.errors import ImgDiffError
from imgdiff_assets.stages import (
    bounding_boxes,
    captions,
    derived_pairs,
    filtered_pairs,
    fine_tune_set,
    image_pairs,
    prompt_pairs,
    removal_captions,
    removed_pairs,
)
from imgdiff_assets.stages.installed_filter import filter_of, with_filters
from imgdiff_assets.stages.part_checks import mistakes
from imgdiff_assets.stages.settings import Sections
from imgdiff_assets.stages.stage import OUTSIDE, Stage
from resources.installed import Offer, offers

OURS: tuple[Stage, ...] = (
    prompt_pairs.STAGE,
    image_pairs.STAGE,
    derived_pairs.STAGE,
    filtered_pairs.STAGE,
    bounding_boxes.STAGE,
    captions.STAGE,
    removed_pairs.STAGE,
    removal_captions.STAGE,
    fine_tune_set.STAGE,
)


class UnknownAsset(ImgDiffError, ValueError):
    """A name that no stage of the recipe has; the message lists those that there are."""


TAKEN = ("release",)
"""Names of assets that are no stages."""


def build_graph(
    ours: Collection[Stage], filters: Collection[Offer] = (), stages: Collection[Offer] = ()
) -> tuple[Stage, ...]:
    """All stages, parents first, with the steps that packages add. Raises BrokenPart."""
    graph = list(ours)
    for offer in _parents_first(stages):
        graph.append(_checked(offer, graph))
    for offer in filters:
        if filter_of(offer).stage not in {stage.name for stage in graph}:
            raise offer.broken(f"there is no stage {offer.part.stage!r}")
    added = {stage.name: [offer for offer in filters if offer.part.stage == stage.name] for stage in graph}
    return tuple(with_filters(stage, added[stage.name]) if added[stage.name] else stage for stage in graph)


def _parents_first(offers: Collection[Offer]) -> list[Offer]:
    """Stages that packages add may be made of one another."""
    by_name = {offer.name: offer for offer in offers}
    parents = {name: getattr(offer.part, "parents", ()) for name, offer in by_name.items()}
    try:
        order = list(TopologicalSorter(parents).static_order())
    except CycleError as error:
        raise by_name[error.args[1][0]].broken("it is made of itself") from error
    return [by_name[name] for name in order if name in by_name]


def _checked(offer: Offer, graph: Collection[Stage]) -> Stage:
    stage, known = offer.part, {other.name for other in graph}
    if not isinstance(stage, Stage) or stage.name != offer.name:
        raise offer.broken(f"it is not a Stage named {offer.name!r}")
    for mistake in _mistakes(stage, known):
        raise offer.broken(mistake)
    return replace(stage, package=f"{offer.package} {offer.package_version}")


def _mistakes(stage: Stage, known: Collection[str]) -> Iterator[str]:
    """What keeps a stage from standing after those that are known; each a clause."""
    if not stage.name.isidentifier() or stage.name in (*known, *OUTSIDE, *TAKEN):
        yield "that name is taken, or is none"
    yield from (f"its parent {name!r} is not a stage" for name in stage.parents if name not in known)
    if not {origin.table for origin in stage.above if origin.rejected_by is None} & set(stage.parents):
        yield "`above` does not name the parent whose verdicts it follows"
    if not stage.measurements:
        yield "it has no measurement"
    if stage.row_id is None and stage.id_column not in {column.name for column in stage.item_columns}:
        yield f"neither its items nor `row_id` give {stage.id_column!r}"
    yield from mistakes(replace(stage, steps=()), stage.steps, stage.section)


STAGES: tuple[Stage, ...] = build_graph(
    OURS, offers("imgdiff_assets.filters").values(), offers("imgdiff_assets.stages").values()
)
STAGE_NAMES: tuple[str, ...] = tuple(stage.name for stage in STAGES)
COMMON_STAGES: tuple[Stage, ...] = tuple(stage for stage in STAGES if not stage.off_unless_named)
"""Those that every recipe has."""

COMMON_NAMES: tuple[str, ...] = tuple(stage.name for stage in COMMON_STAGES)
SAMPLES = fine_tune_set.STAGE.name
"""The stage whose rows are the samples."""


def stage_named(name: str) -> Stage:
    """Raises KeyError for a name that is not a stage's."""
    return {stage.name: stage for stage in STAGES}[name]


def line(table: str) -> set[str]:
    """A table and those that its rows come from."""
    names = {table}
    for origin in stage_named(table).above if table not in OUTSIDE else ():
        names |= line(origin.table)
    return names


def stages_of(recipe: Sections) -> tuple[Stage, ...]:
    """The graph as a recipe has it: without installed stages and steps that it does not name."""
    return tuple(stage.under(recipe) for stage in STAGES if stage.settings(recipe) is not None)


def chosen_stages(names: Collection[str] | None, recipe: Sections) -> tuple[str, ...]:
    """These stages, or all of the recipe's, in the order of the graph. Raises UnknownAsset."""
    known = tuple(stage.name for stage in stages_of(recipe))
    unknown = sorted(set(names or ()) - set(known))
    if unknown:
        raise UnknownAsset(f"{unknown[0]!r} is not an asset; the assets are {', '.join(known)}.")
    return tuple(name for name in known if not names or name in names)
