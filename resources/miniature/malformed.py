"""Drawn scenes in which one object does not look right: the truth that the miniature's verifier is trained on.

Each way of being malformed is one that image models are known for. What is wrong is always an object's form, never
its place, its colour or the background: those are right in every picture, so they say nothing.
"""

import math
import random
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resources.miniature.drawings import COLOURS, draw_background, draw_object
from resources.miniature.scenes import IMAGE_SIZE, OBJECTS, Scene, draw_scene, random_content

Sprite = NDArray[np.float32]
"""An object, RGBA (S, S, 4), 0 to 255, on a square twice as wide as the one it is drawn in: room for what it grows."""

LEAST_CHANGED = 45
"""Pixels of a scene that must visibly differ from the right drawing: what nobody can see is no mistake."""
VISIBLE = 60
"""Levels, of 255, by which a visible pixel differs in some channel."""


def _distance(sprite: Sprite, x: float, y: float) -> NDArray[np.float64]:
    """How far each pixel is from a point, both in fractions of the square."""
    side = len(sprite)
    rows, columns = (np.mgrid[0:side, 0:side] + 0.5) / side
    return np.asarray(np.hypot(columns - x, rows - y))


def _edge_point(rng: random.Random, sprite: Sprite) -> tuple[float, float]:
    """A point near the object's outline, in fractions of the square."""
    inside = sprite[..., 3] > 127
    core = inside.copy()
    for axis in (0, 1):
        for step in (-2, 2):
            core &= np.roll(inside, step, axis)
    rows, columns = np.nonzero(inside & ~core)
    index = rng.randrange(len(rows))
    return (columns[index] + 0.5) / len(sprite), (rows[index] + 0.5) / len(sprite)


def _over(top: Sprite, bottom: Sprite) -> Sprite:
    below = Image.fromarray(bottom.round().astype(np.uint8), "RGBA")
    below.alpha_composite(Image.fromarray(top.round().astype(np.uint8), "RGBA"))
    return np.asarray(below, np.float32)


def broken(rng: random.Random, sprite: Sprite, other: Sprite) -> Sprite:
    """Cut in two along a line, the halves shifted against each other."""
    side, angle = len(sprite), rng.uniform(0, math.pi)
    across = (math.cos(angle + math.pi / 2), math.sin(angle + math.pi / 2))
    rows, columns = np.mgrid[0:side, 0:side] + 0.5 - side / 2
    first = (columns * across[0] + rows * across[1] > rng.uniform(-0.06, 0.06) * side)[..., None]
    shift = rng.choice((-1, 1)) * rng.uniform(0.09, 0.16) * side
    moved = np.roll(sprite, (round(shift * math.sin(angle)), round(shift * math.cos(angle))), (0, 1))
    return np.where(first, moved, sprite)


def missing(rng: random.Random, sprite: Sprite, other: Sprite) -> Sprite:
    """A bite out of the outline, where the background shows."""
    x, y = _edge_point(rng, sprite)
    bitten = sprite.copy()
    bitten[..., 3] *= _distance(sprite, x, y) > rng.uniform(0.12, 0.19)
    return bitten


def extra(rng: random.Random, sprite: Sprite, other: Sprite) -> Sprite:
    """A part of the object once more, where it does not belong."""
    x, y = _edge_point(rng, sprite)
    part = sprite.copy()
    part[..., 3] *= _distance(sprite, x, y) < rng.uniform(0.14, 0.2)
    towards, side = rng.uniform(0, math.tau), len(sprite)
    far = rng.uniform(0.14, 0.24) * side
    return _over(np.roll(part, (round(far * math.sin(towards)), round(far * math.cos(towards))), (0, 1)), sprite)


def melted(rng: random.Random, sprite: Sprite, other: Sprite) -> Sprite:
    """Two objects that run into each other."""
    side, angle = len(sprite), rng.uniform(0, math.tau)
    rows, columns = np.mgrid[0:side, 0:side] + 0.5 - side / 2
    along = (columns * math.cos(angle) + rows * math.sin(angle)) / side
    share = np.clip(0.5 + (along - rng.uniform(-0.05, 0.05)) / rng.uniform(0.02, 0.12), 0, 1)[..., None]
    alpha = share * sprite[..., 3:] + (1 - share) * other[..., 3:]
    colour = share * sprite[..., 3:] * sprite[..., :3] + (1 - share) * other[..., 3:] * other[..., :3]
    return np.concatenate([colour / np.maximum(alpha, 1), alpha], axis=2).astype(np.float32)


def warped(rng: random.Random, sprite: Sprite, other: Sprite) -> Sprite:
    """Outlines that wave."""
    side = len(sprite)
    rows, columns = np.mgrid[0:side, 0:side]
    height, length, phase = rng.uniform(0.025, 0.045) * side, rng.uniform(0.16, 0.3) * side, rng.uniform(0, math.tau)
    moved = height * np.sin(math.tau * rows / length + phase), height * np.sin(math.tau * columns / length + phase)
    taken = [
        np.clip(np.rint(place + by), 0, side - 1).astype(int) for place, by in ((columns, moved[0]), (rows, moved[1]))
    ]
    return np.asarray(sprite[taken[1], taken[0]])


Malformation = Callable[[random.Random, Sprite, Sprite], Sprite]
LEARNED: dict[str, Malformation] = {"broken": broken, "missing": missing, "extra": extra, "melted": melted}
UNSEEN: dict[str, Malformation] = {"warped": warped}
"""What no training shows: whether a verifier knows more than the mistakes that it was shown."""


def draw_malformed(rng: random.Random, how: Malformation, held_out: bool = False) -> tuple[Scene, NDArray[np.uint8]]:
    """A random scene that is right, and its picture (H, W, 3) with one of its objects malformed.

    It is another scene until that is visible: white on snow, a bite changes little.
    """
    while True:
        scene = draw_scene(rng, *random_content(rng, held_out=held_out))
        picture = _draw(rng, scene, rng.randrange(len(scene.objects)), how)
        changed = np.abs(picture.astype(int) - scene.image).max(2) > VISIBLE
        if changed.sum() >= LEAST_CHANGED:
            return scene, picture


def _draw(rng: random.Random, scene: Scene, index: int, how: Malformation) -> NDArray[np.uint8]:
    layout = scene.layout
    canvas = Image.fromarray(draw_background(scene.background, IMAGE_SIZE, layout.phase, layout.brightness))
    for number, (thing, place) in enumerate(zip(scene.objects, layout.placements, strict=True)):
        sprite = _roomy(draw_object(thing.name, thing.colour, place.size))
        if number == index:
            name = rng.choice([name for name in OBJECTS if name != thing.name])
            other = _roomy(draw_object(name, rng.choice(tuple(COLOURS)), place.size))
            sprite = how(rng, sprite, other)
        drawn = Image.fromarray(sprite.round().clip(0, 255).astype(np.uint8), "RGBA")
        canvas.paste(drawn, (place.x - len(sprite) // 2, place.y - len(sprite) // 2), drawn)
    return np.array(canvas)


def _roomy(drawing: Image.Image) -> Sprite:
    side = drawing.width
    square = Image.new("RGBA", (2 * side, 2 * side))
    square.paste(drawing, (side - side // 2, side - side // 2))
    return np.asarray(square, np.float32)
