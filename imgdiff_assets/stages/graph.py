"""The stages in the order of the graph."""

from collections.abc import Collection

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
from imgdiff_assets.stages.stage import Stage

STAGES: tuple[Stage, ...] = (
    prompt_pairs.STAGE,
    image_pairs.STAGE,
    filtered_pairs.STAGE,
    bounding_boxes.STAGE,
    captions.STAGE,
    removed_pairs.STAGE,
    removal_captions.STAGE,
    fine_tune_set.STAGE,
)
STAGE_NAMES: tuple[str, ...] = tuple(stage.name for stage in STAGES)


def stage_named(name: str) -> Stage:
    """Raises KeyError for a name that is not a stage's."""
    return {stage.name: stage for stage in STAGES}[name]


def chosen_stages(names: Collection[str] | None) -> tuple[str, ...]:
    """These stages, or all, in the order of the graph. Raises ValueError for a name that is not a stage's."""
    unknown = sorted(set(names or ()) - set(STAGE_NAMES))
    if unknown:
        raise ValueError(f"{unknown[0]!r} is not an asset; the assets are {', '.join(STAGE_NAMES)}.")
    return tuple(name for name in STAGE_NAMES if not names or name in names)
