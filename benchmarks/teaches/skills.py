"""What the model can do before it is taught to compare: skills that take one image."""

import random

from benchmarks.teaches.model import Asked, small
from imgdiff_assets.common.aliases import Pixels
from resources.miniature.scenes import COLOURS, OBJECTS, Scene, SceneObject

WHAT = "what is this ?"
IS_THERE = "is {thing} in the image ?"
WHERE = "where is {thing} ?"
SIDE_OF = "what is on the {side} ?"
SIDES = ("left", "right")
SKILLS = ("caption", "is there", "where", "which thing")


def ask(rng: random.Random, skill: str, scene: Scene, picture: Pixels) -> Asked:
    """A question of one skill about a picture of the scene; of a scene with one object, sides are not asked for."""
    images, things = (small(picture),), scene.objects
    if skill == "is there":
        there = rng.random() < 0.5
        thing = rng.choice(things) if there else absent(rng, scene)
        return Asked(images, IS_THERE.format(thing=thing.phrase), "yes" if there else "no")
    if skill in ("where", "which thing") and len(things) == 2:
        number = rng.randrange(2)
        if skill == "where":
            return Asked(images, WHERE.format(thing=things[number].phrase), SIDES[number])
        return Asked(images, SIDE_OF.format(side=SIDES[number]), things[number].phrase)
    return Asked(images, WHAT, scene.caption)


def absent(rng: random.Random, scene: Scene) -> SceneObject:
    """A thing that is not there, but for its colour or its kind nearly is."""
    while True:
        near = rng.choice(scene.objects)
        if rng.random() < 0.5:
            thing = SceneObject(near.name, rng.choice(list(COLOURS)))
        else:
            thing = SceneObject(rng.choice(OBJECTS), near.colour)
        if thing not in scene.objects:
            return thing
