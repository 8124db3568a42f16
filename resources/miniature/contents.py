"""What richer scenes show: one or two groups of things, up to four of a kind, in three sizes, in a relation.

"two red balls on the sand", "a small blue cup left of a green tree on the road". Scenes whose groups are of one thing
of middle size, side by side, are those of `scenes`, and their captions are the same.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from resources.miniature.poses import POSES
from resources.miniature.scenes import (
    BACKGROUNDS,
    COLOURS,
    IMAGE_SIZE,
    OBJECTS,
    Layout,
    Placement,
    Scene,
    SceneObject,
    draw_scene,
    is_held_out,
)

NUMBERS = ("one", "two", "three", "four")
MIDDLE = ""
SIZES = {"small": (16, 19), MIDDLE: (27, 32), "big": (43, 48)}
"""Pixels of the square that a thing is drawn in; the middle one is not told."""
PLURALS = tuple(f"{name}s" if name != "fish" else name for name in OBJECTS)
AND = "and"
RELATIONS = ("left of", "right of", "above", "below")
ACTIONS = tuple(pose for poses in POSES.values() for pose in poses)
SLOTS = ((17, 17), (47, 17), (17, 47), (47, 47))
"""The centres of the four places that things stand in where there may be several."""
OPPOSITE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
BESIDE = {"left of": (-1, 0), "right of": (1, 0), "above": (0, -1), "below": (0, 1)}


@dataclass(frozen=True, slots=True)
class Group:
    """`count` things that are alike, of one of `SIZES`."""

    thing: SceneObject
    count: int = 1
    size: str = MIDDLE

    @property
    def name(self) -> str:
        """Without an article: "red ball", "two red balls", "small red ball", "red cat sleeping"."""
        name = self.thing.name if self.count == 1 else PLURALS[OBJECTS.index(self.thing.name)]
        words = [self.size, self.thing.colour, name, self.thing.pose]
        return " ".join(word for word in words if word) if self.count == 1 else " ".join(self._counted(words))

    def _counted(self, words: Sequence[str]) -> list[str]:
        return [NUMBERS[self.count - 1], *(word for word in words if word)]

    @property
    def phrase(self) -> str:
        """With an article, where it is one thing."""
        return self.name if self.count > 1 else f"{'an' if self.name[0] in 'aeiou' else 'a'} {self.name}"


@dataclass(frozen=True, slots=True)
class Content:
    """One or two groups on a background; of two, how the first stands to the second (`AND`: on its left)."""

    groups: tuple[Group, ...]
    background: str
    relation: str = AND

    @property
    def caption(self) -> str:
        """The scene in words."""
        return f"{f' {self.relation} '.join(group.phrase for group in self.groups)} on the {self.background}"

    @property
    def things(self) -> tuple[SceneObject, ...]:
        """Each single thing, in the order of a layout's placements."""
        return tuple(group.thing for group in self.groups for _ in range(group.count))

    @property
    def held_out(self) -> bool:
        """Whether something of it is held out from training."""
        return is_held_out(self.things, self.background)

    def with_group(self, index: int, group: Group) -> "Content":
        """The same with another group."""
        return replace(self, groups=(*self.groups[:index], group, *self.groups[index + 1 :]))

    def without_group(self, index: int) -> "Content":
        """The same with a group gone."""
        return replace(self, groups=self.groups[:index] + self.groups[index + 1 :], relation=AND)


def random_group(rng: random.Random, taken: Sequence[str] = (), names: Sequence[str] = OBJECTS) -> Group:
    """One thing of middle size, of a name that is not `taken`."""
    return Group(SceneObject(rng.choice([name for name in names if name not in taken]), rng.choice(tuple(COLOURS))))


def random_background(rng: random.Random) -> str:
    return rng.choice(BACKGROUNDS)


def layout_with(rng: random.Random, placements: Sequence[Placement]) -> Layout:
    """Places on a background whose pattern and light are random."""
    phase = rng.uniform(0, IMAGE_SIZE), rng.uniform(0, IMAGE_SIZE)
    return Layout(phase, rng.uniform(0.96, 1.04), tuple(placements))


def places_in_slots(rng: random.Random, slots: Sequence[int]) -> list[Placement]:
    """Places in these of the four `SLOTS`, a little off their middles."""
    return [
        Placement(SLOTS[slot][0] + rng.randint(-2, 2), SLOTS[slot][1] + rng.randint(-2, 2), rng.randint(22, 25))
        for slot in slots
    ]


def place_of_size(rng: random.Random, size: str) -> Placement:
    """A place near the middle for a thing of this size."""
    side = rng.randint(*SIZES[size])
    half = side // 2 + 1
    reach = min(8, IMAGE_SIZE // 2 - half)
    middle = IMAGE_SIZE // 2
    return Placement(middle + rng.randint(-reach, reach), middle + rng.randint(-reach, reach), side)


def places_in_relation(rng: random.Random, relation: str) -> list[Placement]:
    """The place of one thing, and that of the one in the middle that it stands left of, right of, above or below."""
    across, down = BESIDE[relation]
    middle = IMAGE_SIZE // 2
    jitter = [rng.randint(-1, 1) for _ in range(4)]
    return [
        Placement(middle + 21 * across + jitter[0], middle + 21 * down + jitter[1], rng.randint(18, 20)),
        Placement(middle + jitter[2], middle + jitter[3], rng.randint(18, 20)),
    ]


def draw_content(rng: random.Random, content: Content, layout: Layout) -> Scene:
    """Draw it; the layout has a placement for each single thing. The scene's caption is the content's."""
    scene = draw_scene(rng, content.things, content.background, layout)
    scene.caption = content.caption
    return scene
