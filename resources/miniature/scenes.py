"""A drawn world: small scenes of one or two coloured objects, with the truth of everything in them.

A scene is drawn from its content (objects and background) and its layout (where each object stands, how big it is,
and how the background's pattern lies). Two scenes that share a layout differ only where their contents do, pixel for
pixel.
"""

import random
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resources.miniature.drawings import BACKGROUND_COLOURS, COLOURS, DRAWINGS, draw_background, draw_object

__all__ = [
    "BACKGROUNDS", "COLOURS", "IMAGE_SIZE", "OBJECTS", "Layout", "Placement", "Scene", "SceneObject",
    "caption", "draw_scene", "is_held_out", "parse_caption", "random_caption", "random_content", "random_layout",
]  # fmt: skip

IMAGE_SIZE = 64
OBJECTS: tuple[str, ...] = tuple(DRAWINGS)
BACKGROUNDS: tuple[str, ...] = tuple(BACKGROUND_COLOURS)
HELD_OUT_PERCENT = 8

_PHRASE = rf"an? ({'|'.join(COLOURS)}) ({'|'.join(OBJECTS)})"
_CAPTION = re.compile(rf"{_PHRASE}(?: and {_PHRASE})? on the ({'|'.join(BACKGROUNDS)})")


@dataclass(frozen=True, slots=True)
class SceneObject:
    """A kind of thing in one colour; an animal may be in a `pose`."""

    name: str
    colour: str
    pose: str = ""

    @property
    def phrase(self) -> str:
        """The noun phrase, "a red ball", "an orange cup" or "a white cat sleeping"."""
        phrase = f"{'an' if self.colour[0] in 'aeiou' else 'a'} {self.colour} {self.name}"
        return f"{phrase} {self.pose}" if self.pose else phrase


@dataclass(frozen=True, slots=True)
class Placement:
    """The square an object is drawn in: its centre and its side, in pixels."""

    x: int
    y: int
    size: int


@dataclass(frozen=True, slots=True)
class Layout:
    """All of a scene that its caption does not say.

    `phase` shifts the background's pattern (pixels) and `brightness` scales its colour; each object has a placement.
    """

    phase: tuple[float, float]
    brightness: float
    placements: tuple[Placement, ...]

    def without(self, index: int) -> "Layout":
        """The same layout with one object's place gone."""
        return self.with_placements(self.placements[:index] + self.placements[index + 1 :])

    def with_placements(self, placements: Sequence[Placement]) -> "Layout":
        """The same background with other places."""
        return Layout(self.phase, self.brightness, tuple(placements))


@dataclass(slots=True)
class Scene:
    """A drawn scene.

    `image` is RGB uint8 (H, W, 3), `masks` bool (N, H, W), `boxes` int64 (N, 4) xyxy in pixels, ends exclusive.
    """

    image: NDArray[np.uint8]
    caption: str
    objects: tuple[SceneObject, ...]
    background: str
    layout: Layout
    masks: NDArray[np.bool_]
    boxes: NDArray[np.int64]


def caption(objects: Sequence[SceneObject], background: str) -> str:
    """The scene in words; the object named first stands on the left."""
    return " and ".join(thing.phrase for thing in objects) + f" on the {background}"


def parse_caption(text: str) -> tuple[tuple[SceneObject, ...], str] | None:
    """The content a caption describes, or None if it is not a caption of this world."""
    match = _CAPTION.fullmatch(text)
    if match is None:
        return None
    colour, name, second_colour, second_name, background = match.groups()
    objects: tuple[SceneObject, ...] = (SceneObject(name, colour),)
    if second_name is not None:
        objects += (SceneObject(second_name, second_colour),)
        if second_name == name:
            return None
    return (objects, background) if caption(objects, background) == text else None


def is_held_out(objects: Sequence[SceneObject], background: str) -> bool:
    """Whether any (object, colour, background) of the scene is one that training never shows."""
    return any(
        zlib.crc32(f"{thing.name}/{thing.colour}/{background}".encode()) % 100 < HELD_OUT_PERCENT for thing in objects
    )


def random_content(
    rng: random.Random, count: int | None = None, held_out: bool = False
) -> tuple[tuple[SceneObject, ...], str]:
    """`count` objects of different names (one or two by default) on a background.

    None of it is held out from training, or, with `held_out`, at least one object is.
    """
    count = count or rng.choice((1, 2))
    while True:
        objects = tuple(SceneObject(name, rng.choice(tuple(COLOURS))) for name in rng.sample(OBJECTS, count))
        background = rng.choice(BACKGROUNDS)
        if is_held_out(objects, background) == held_out:
            return objects, background


def random_caption(rng: random.Random, count: int | None = None, held_out: bool = False) -> str:
    """The caption of a random content."""
    return caption(*random_content(rng, count, held_out))


def random_layout(rng: random.Random, count: int) -> Layout:
    """Places that keep each object whole: one big object anywhere, or two smaller ones side by side."""
    if count == 1:
        placements = [Placement(rng.randint(19, 45), rng.randint(26, 38), rng.randint(28, 34))]
    else:
        placements = [
            Placement(rng.randint(*span), rng.randint(26, 38), rng.randint(23, 27)) for span in ((16, 19), (45, 48))
        ]
    return Layout((rng.uniform(0, IMAGE_SIZE), rng.uniform(0, IMAGE_SIZE)), rng.uniform(0.96, 1.04), tuple(placements))


def draw_scene(
    rng: random.Random,
    objects: Sequence[SceneObject] | None = None,
    background: str | None = None,
    layout: Layout | None = None,
) -> Scene:
    """Draw a scene; what is not given is random, and wholly random content is always within training.

    Raises ValueError when `layout` has not one placement per object.
    """
    if objects is None:
        random_objects, random_background = random_content(rng, len(layout.placements) if layout else None)
        objects, background = random_objects, background or random_background
    background = background or rng.choice(BACKGROUNDS)
    layout = layout or random_layout(rng, len(objects))
    if len(layout.placements) != len(objects):
        raise ValueError(f"A layout of {len(layout.placements)} placements cannot hold {len(objects)} objects.")
    canvas = Image.fromarray(draw_background(background, IMAGE_SIZE, layout.phase, layout.brightness))
    masks = np.zeros((len(objects), IMAGE_SIZE, IMAGE_SIZE), bool)
    boxes = np.zeros((len(objects), 4), np.int64)
    for index, (thing, place) in enumerate(zip(objects, layout.placements, strict=True)):
        sprite = draw_object(thing.name, thing.colour, place.size, thing.pose)
        corner = (place.x - place.size // 2, place.y - place.size // 2)
        canvas.paste(sprite, corner, sprite)
        stencil = Image.new("L", canvas.size)
        stencil.paste(sprite.getchannel("A"), corner)
        masks[index] = np.asarray(stencil) > 127
        rows, columns = np.nonzero(masks[index])
        boxes[index] = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    return Scene(np.array(canvas), caption(objects, background), tuple(objects), background, layout, masks, boxes)
