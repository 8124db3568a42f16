"""Instructions to change a drawn scene, and pairs of scenes before and after it."""

import random
from dataclasses import dataclass
from typing import Literal

from resources.miniature.scene_pairs import draw_pair
from resources.miniature.scenes import BACKGROUNDS, Scene, SceneObject, draw_scene, is_held_out, parse_caption

Edit = Literal["object_replaced", "attribute_changed", "object_added", "object_removed", "background_changed"]

# Replaced objects most of all, as in the graph.
EDITS: tuple[Edit, ...] = (
    *("object_replaced",) * 4,
    *("attribute_changed",) * 2,
    "object_added",
    "object_removed",
    "background_changed",
)


@dataclass(frozen=True, slots=True)
class EditPair:
    """A scene, what is to be done to it, and the scene in which that is done, and nothing else."""

    kind: Edit
    source: Scene
    target: Scene
    instruction: str


def instruction_between(source_caption: str, target_caption: str) -> str | None:
    """What makes of the first captions' scene the second's; None where that is not one change, or no drawn scene's.

    In words that the pair generator knows, or short enough to be spelled: its text encoders read sixteen tokens.
    """
    both = parse_caption(source_caption), parse_caption(target_caption)
    if both[0] is None or both[1] is None:
        return None
    (old, old_ground), (new, new_ground) = both
    if old_ground != new_ground:
        return f"replace the {old_ground} with the {new_ground}" if old == new else None
    if len(old) != len(new):
        return _more_or_fewer(old, new)
    changed = [(before, after) for before, after in zip(old, new, strict=True) if before != after]
    if len(changed) != 1:
        return None
    ((before, after),) = changed
    named = f"the {before.colour} {before.name}"
    if before.name == after.name:
        return f"change {named} to {after.phrase}"
    return f"replace {named} with {after.phrase}"


def _more_or_fewer(old: tuple[SceneObject, ...], new: tuple[SceneObject, ...]) -> str | None:
    larger, smaller = (old, new) if len(old) > len(new) else (new, old)
    if len(larger) - len(smaller) != 1 or not set(smaller) <= set(larger):
        return None
    index = next(index for index, thing in enumerate(larger) if thing not in smaller)
    if larger is old:
        return f"remove the {old[index].colour} {old[index].name}"
    return f"add {new[index].phrase}"


def draw_edit(rng: random.Random, kind: Edit, held_out: bool = False) -> EditPair:
    """Draw a pair of one `kind`, wholly within training, or with `held_out` with a held-out scene before the change."""
    while True:
        source, target = _draw(rng, kind, held_out)
        instruction = instruction_between(source.caption, target.caption)
        if instruction is not None:  # a scene whose only object is gone has no caption
            return EditPair(kind, source, target, instruction)


def _draw(rng: random.Random, kind: Edit, held_out: bool) -> tuple[Scene, Scene]:
    if kind == "object_replaced":
        return draw_pair(rng, "replaced", held_out).scenes
    if kind == "attribute_changed":
        return draw_pair(rng, "recoloured", held_out).scenes
    if kind == "object_removed":
        return draw_pair(rng, "removed", held_out).scenes
    if kind == "object_added":
        more, fewer = draw_pair(rng, "removed", held_out).scenes
        return fewer, more
    while True:
        first = draw_pair(rng, "identical", held_out).scenes[0]
        ground = rng.choice([name for name in BACKGROUNDS if name != first.background])
        if held_out or not is_held_out(first.objects, ground):
            return first, draw_scene(rng, first.objects, ground, first.layout)
