"""What the model can do before it is taught to compare: skills that take one image."""

import random
from dataclasses import replace

from benchmarks.teaches.model import Asked, small
from imgdiff_assets.common.aliases import Pixels
from resources.miniature.scenes import COLOURS, OBJECTS, Scene, SceneObject

WHAT = "what is this ?"
IS_THERE = "is {thing} in the image ?"
WHERE = "where is {thing} ?"
SIDE_OF = "what is on the {side} ?"
SIDES = ("left", "right")
SKILLS = ("caption", "is there", "where", "which thing")


def ask(rng: random.Random, skill: str, scene: Scene, picture: Pixels, near: float = 1.0) -> Asked:
    """A question of one skill about a picture of the scene; of a scene with one object, sides are not asked for.

    Of things that are not there, a share `near` nearly are.
    """
    images, things = (small(picture),), scene.objects
    if skill == "is there":
        there = rng.random() < 0.5
        thing = rng.choice(things) if there else absent(rng, scene, near)
        return Asked(images, IS_THERE.format(thing=thing.phrase), "yes" if there else "no")
    if skill in ("where", "which thing") and len(things) == 2:
        number = rng.randrange(2)
        if skill == "where":
            return Asked(images, WHERE.format(thing=things[number].phrase), SIDES[number])
        return Asked(images, SIDE_OF.format(side=SIDES[number]), things[number].phrase)
    return Asked(images, WHAT, scene.caption)


def absent(rng: random.Random, scene: Scene, near: float) -> SceneObject:
    """A thing that is not there: in a share `near` of the cases its colour or its kind is, else neither."""
    is_near, like = rng.random() < near, rng.choice(scene.objects)
    while True:
        thing = SceneObject(rng.choice(OBJECTS), rng.choice(list(COLOURS)))
        if is_near:
            thing = replace(thing, name=like.name) if rng.random() < 0.5 else replace(thing, colour=like.colour)
        shared = any(thing.name == each.name or thing.colour == each.colour for each in scene.objects)
        if thing not in scene.objects and shared == is_near:
            return thing
