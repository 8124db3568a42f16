"""What the model is asked afterwards: drawn pairs of contents that no training shows, and single-image skills."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from benchmarks.alignment import surrounded
from benchmarks.nuisance import recompressed, relit, shifted
from benchmarks.teaches.model import Asked, small
from benchmarks.teaches.skills import SKILLS, ask
from imgdiff_assets.common.aliases import Pixels
from resources.miniature.scenes import (
    COLOURS,
    OBJECTS,
    Scene,
    SceneObject,
    draw_scene,
    random_content,
)

SEED = 9_700
PAIRS = 300
OF_SKILL = 100
DIFFERENCE = "what is different ?"
WHICH = "which image shows {subject} ?"
SAME = "same or different ?"
NUISANCES: dict[str, Callable[[Pixels, random.Random], Pixels]] = {
    "shifted": shifted,
    "relit": relit,
    "recompressed": recompressed,
}

Change = tuple[str, str]
"""What stands at one place in the first image, and what in the second, as phrases."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two images of (SIDE, SIDE, 3) uint8, what was done to the second, the scenes' captions, and all changes."""

    images: tuple[Pixels, Pixels]
    sort: str
    captions: tuple[str, str]
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Items in a fixed order: the same whatever was taught."""

    replaced: list[Pair] = field(default_factory=list)
    which: list[Asked] = field(default_factory=list)
    others: list[Pair] = field(default_factory=list)
    lists: list[Pair] = field(default_factory=list)
    skills: dict[str, list[Asked]] = field(default_factory=dict)


def draw(pairs: int = PAIRS, of_skill: int = OF_SKILL, seed: int = SEED) -> HeldOut:
    """`pairs` with one object replaced; as many in which nothing was changed, of which a quarter are identical and the
    others were shifted, lit otherwise or recompressed; a third as many scenes of two objects with none, one or both
    changed, for lists; and single-image questions."""
    rng, found = random.Random(seed), HeldOut()
    for _ in range(pairs):
        pair = _changed(rng, *_held_out(rng), count=1)
        found.replaced.append(pair)
        side = rng.randrange(2)
        question = WHICH.format(subject=pair.changes[0][side])
        found.which.append(Asked(pair.images, question, "AB"[side]))
    sorts = ["identical", *NUISANCES]
    for number in range(pairs):
        scene = draw_scene(rng, *_held_out(rng))
        sort = sorts[number % len(sorts)]
        image = scene.image if sort == "identical" else NUISANCES[sort](surrounded(scene.image), rng)
        found.others.append(Pair((small(scene.image), small(image)), sort, (scene.caption,) * 2, ()))
    for number in range(pairs // 3):
        found.lists.append(_changed(rng, *_held_out(rng, 2), count=number % 3))
    for skill in SKILLS:
        items = found.skills.setdefault(skill, [])
        while len(items) < of_skill:
            scene = draw_scene(rng, *_held_out(rng, 2 if skill in ("where", "which thing") else None))
            items.append(ask(rng, skill, scene, scene.image))
    return found


def _held_out(rng: random.Random, count: int | None = None) -> tuple[tuple[SceneObject, ...], str]:
    return random_content(rng, count, held_out=True)


def _changed(rng: random.Random, objects: tuple[SceneObject, ...], background: str, count: int) -> Pair:
    """The scene, and the same with `count` of its objects replaced: by another thing of the same colour or, one in
    four, the same thing in another colour."""
    first = draw_scene(rng, objects, background)
    edited = list(objects)
    for index in rng.sample(range(len(objects)), count):
        edited[index] = _another(rng, edited[index], edited)
    second = draw_scene(rng, tuple(edited), background, first.layout)
    return Pair(
        (small(first.image), small(second.image)),
        f"{count} changed",
        (first.caption, second.caption),
        changes(first, second),
    )


def _another(rng: random.Random, old: SceneObject, beside: list[SceneObject]) -> SceneObject:
    if rng.random() < 0.25:
        return SceneObject(old.name, rng.choice([colour for colour in COLOURS if colour != old.colour]))
    taken = {thing.name for thing in beside}
    return SceneObject(rng.choice([name for name in OBJECTS if name not in taken]), old.colour)


def changes(first: Scene, second: Scene) -> tuple[Change, ...]:
    """What differs between two scenes of one layout."""
    both = zip(first.objects, second.objects, strict=True)
    return tuple((old.phrase, new.phrase) for old, new in both if old != new)
