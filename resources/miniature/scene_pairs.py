"""Pairs of scenes that differ in one object, and the regions of them that the graph will look at."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from resources.miniature.scenes import (
    COLOURS,
    IMAGE_SIZE,
    OBJECTS,
    Scene,
    SceneObject,
    draw_scene,
    is_held_out,
    random_content,
)

Change = Literal["replaced", "recoloured", "removed", "identical"]
Box = tuple[int, int, int, int]

# Mostly replaced objects, since that is what the graph makes; the other changes keep the models from relying on it.
CHANGES: tuple[Change, ...] = ("replaced",) * 6 + ("recoloured",) * 2 + ("removed", "identical")
NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Region:
    """A box (xyxy pixels) and what stands in it in the first and in the second image; None is bare background.

    The box is tight around the object of one of the images, so it may cut the other's, or be much too big for it.
    """

    box: Box
    contents: tuple[SceneObject | None, SceneObject | None]


@dataclass(frozen=True, slots=True)
class ScenePair:
    """Two scenes of one layout, alike but for one object or in everything, and their regions."""

    scenes: tuple[Scene, Scene]
    regions: tuple[Region, ...]


def phrase(thing: SceneObject | None) -> str:
    """What a region shows, in words."""
    return NOTHING if thing is None else thing.phrase


def draw_pair(rng: random.Random, change: Change, held_out: bool = False) -> ScenePair:
    """Draw a pair with one `change`, wholly within training, or with a held-out first scene."""
    while True:
        objects, background = random_content(rng, held_out=held_out)
        index = rng.randrange(len(objects))
        edited = _edit(rng, objects, index, change)
        if held_out or not is_held_out(edited, background):
            break
    first = draw_scene(rng, objects, background)
    layout = first.layout.without(index) if change == "removed" else first.layout
    second = draw_scene(rng, edited, background, layout)
    regions = list(_object_regions(first, second, index if change == "removed" else None))
    bare = _bare_box(rng, [region.box for region in regions])
    if bare is not None:
        regions.append(Region(bare, (None, None)))
    return ScenePair((first, second), tuple(regions))


def _edit(rng: random.Random, objects: tuple[SceneObject, ...], index: int, change: Change) -> tuple[SceneObject, ...]:
    old, taken = objects[index], {each.name for each in objects}
    if change == "identical":
        return objects
    if change == "removed":
        return (*objects[:index], *objects[index + 1 :])
    if change == "replaced":
        new = SceneObject(rng.choice([name for name in OBJECTS if name not in taken]), old.colour)
    else:
        new = SceneObject(old.name, rng.choice([colour for colour in COLOURS if colour != old.colour]))
    return (*objects[:index], new, *objects[index + 1 :])


def _object_regions(first: Scene, second: Scene, removed: int | None) -> Sequence[Region]:
    regions = []
    for index, (thing, box) in enumerate(zip(first.objects, first.boxes.tolist(), strict=True)):
        if index == removed:
            regions.append(Region(tuple(box), (thing, None)))
            continue
        other = index - (removed is not None and index > removed)
        contents = (thing, second.objects[other])
        regions += [Region(tuple(edges), contents) for edges in (box, second.boxes[other].tolist())]
    return regions


def _bare_box(rng: random.Random, taken: Sequence[Box]) -> Box | None:
    """A random box that touches none of the `taken` ones, or None if a few tries find no place."""
    for _ in range(20):
        width, height = rng.randint(8, 30), rng.randint(8, 30)
        left, top = rng.randint(0, IMAGE_SIZE - width), rng.randint(0, IMAGE_SIZE - height)
        if all(left >= box[2] or top >= box[3] or left + width <= box[0] or top + height <= box[1] for box in taken):
            return left, top, left + width, top + height
    return None


def loosen(rng: random.Random, box: Box) -> Box:
    """The box as a segmenter and a recipe's padding make it: grown by up to 5 pixels, each edge off by up to 2.

    Boxes are at least 8 pixels wide and high, as all regions are, so something is left of each.
    """
    padding = rng.randint(0, 5)
    left, top = (max(0, edge - padding + rng.randint(-2, 2)) for edge in box[:2])
    right, bottom = (min(IMAGE_SIZE, edge + padding + rng.randint(-2, 2)) for edge in box[2:])
    return left, top, right, bottom
