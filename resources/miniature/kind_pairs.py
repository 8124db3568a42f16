"""Pairs of drawn scenes of every kind of difference, with their captions, an instruction, the boxes and the truth.

pair = draw_kind_pair(random.Random(0), "object_added")
pair.scenes, pair.captions, pair.instruction, pair.changes
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from resources.miniature.contents import (
    BESIDE,
    MIDDLE,
    NUMBERS,
    SIZES,
    Content,
    Group,
    draw_content,
    layout_with,
    place_of_size,
    places_in_relation,
    places_in_slots,
    random_background,
    random_group,
)
from resources.miniature.poses import POSES
from resources.miniature.scenes import BACKGROUNDS, COLOURS, IMAGE_SIZE, Layout, Placement, Scene, random_layout

WHOLE = np.array([[0, 0, IMAGE_SIZE, IMAGE_SIZE]], np.int64)
"""The box of a difference that is everywhere."""


@dataclass(frozen=True, slots=True)
class DrawnChange:
    """One difference: how each caption names it (None where there is nothing), and where it is.

    `boxes` are int64 (N, 4), xyxy in pixels, ends exclusive: of each thing that differs in either image.
    `instruction` says what to do to the first image.
    """

    kind: str
    phrases: tuple[str | None, str | None]
    boxes: NDArray[np.int64]
    instruction: str


@dataclass(frozen=True, slots=True)
class KindPair:
    """Two scenes of one layout that differ in one thing of this kind, or in two where it is `several`."""

    kind: str
    contents: tuple[Content, Content]
    scenes: tuple[Scene, Scene]
    changes: tuple[DrawnChange, ...]

    @property
    def captions(self) -> tuple[str, str]:
        """What the two scenes show, in words."""
        return self.contents[0].caption, self.contents[1].caption

    @property
    def instruction(self) -> str:
        """What to do to the first image to get the second."""
        return " and ".join(change.instruction for change in self.changes)

    @property
    def held_out(self) -> bool:
        """Whether something in one of the scenes is held out from training."""
        return any(content.held_out for content in self.contents)


@dataclass(frozen=True, slots=True)
class _Edit:
    """A change of a content: `at` are the places in the layouts, of both scenes, whose boxes it has."""

    kind: str
    phrases: tuple[str | None, str | None]
    instruction: str
    at: tuple[Sequence[int], Sequence[int]]


_Made = tuple[tuple[Content, Content], tuple[Layout, Layout], list[_Edit]]


def draw_kind_pair(rng: random.Random, kind: str, held_out: bool = False) -> KindPair:
    """A pair of one of `PAIR_KINDS`, wholly within training, or, with `held_out`, not so.

    Raises KeyError for a kind that is not drawn.
    """
    while True:
        contents, layouts, edits = PAIR_KINDS[kind](rng)
        if any(content.held_out for content in contents) == held_out:
            break
    first, second = (draw_content(rng, *each) for each in zip(contents, layouts, strict=True))
    changes = tuple(_change(edit, (first, second)) for edit in edits)
    return KindPair(kind, contents, (first, second), changes)


def _change(edit: _Edit, scenes: tuple[Scene, Scene]) -> DrawnChange:
    boxes = [scene.boxes[list(places)] for scene, places in zip(scenes, edit.at, strict=True) if places]
    return DrawnChange(edit.kind, edit.phrases, np.concatenate(boxes) if boxes else WHOLE, edit.instruction)


def _plain(rng: random.Random, count: int | None = None) -> tuple[Content, Layout]:
    """One thing or two side by side, as in `scenes`."""
    count = count or rng.choice((1, 2))
    groups: tuple[Group, ...] = ()
    for _ in range(count):
        groups += (random_group(rng, [group.thing.name for group in groups]),)
    return Content(groups, random_background(rng)), random_layout(rng, count)


def _other(rng: random.Random, options: Sequence[str], one: str) -> str:
    return rng.choice([option for option in options if option != one])


def _replaced(rng: random.Random) -> _Made:
    content, layout = _plain(rng)
    edited, edit = _replace(rng, content, rng.randrange(len(content.groups)))
    return (content, edited), (layout, layout), [edit]


def _replace(rng: random.Random, content: Content, index: int) -> tuple[Content, _Edit]:
    old = content.groups[index]
    new = random_group(rng, [group.thing.name for group in content.groups])
    new = replace(new, thing=replace(new.thing, colour=old.thing.colour))
    instruction = f"replace the {old.name} with {new.phrase}"
    edit = _Edit("object_replaced", (old.thing.name, new.thing.name), instruction, ([index], [index]))
    return content.with_group(index, new), edit


def _recolour(rng: random.Random, content: Content, index: int) -> tuple[Content, _Edit]:
    old = content.groups[index]
    colour = _other(rng, tuple(COLOURS), old.thing.colour)
    new = replace(old, thing=replace(old.thing, colour=colour))
    edit = _Edit("attribute_changed", (old.name, new.name), f"make the {old.name} {colour}", ([index], [index]))
    return content.with_group(index, new), edit


def _attribute(rng: random.Random) -> _Made:
    if rng.random() < 0.3:
        return _resized(rng)
    content, layout = _plain(rng)
    edited, edit = _recolour(rng, content, rng.randrange(len(content.groups)))
    return (content, edited), (layout, layout), [edit]


def _resized(rng: random.Random) -> _Made:
    """From small to big, or from big to small, about the same middle."""
    sizes = rng.sample([size for size in SIZES if size != MIDDLE], 2)
    thing, background = random_group(rng).thing, random_background(rng)
    old, new = (Group(thing, size=size) for size in sizes)
    layout = layout_with(rng, [place_of_size(rng, "big")])
    (place,) = layout.placements
    layouts = [layout.with_placements([replace(place, size=rng.randint(*SIZES[size]))]) for size in sizes]
    edit = _Edit("attribute_changed", (old.name, new.name), f"make the {old.name} {new.size}", ([0], [0]))
    return (Content((old,), background), Content((new,), background)), (layouts[0], layouts[1]), [edit]


def _removed(rng: random.Random) -> _Made:
    (content, edited), layouts, [edit] = _added(rng)
    gone = edit.phrases[1]
    removed = _Edit("object_removed", (gone, None), f"remove the {gone}", edit.at[::-1])
    return (edited, content), layouts[::-1], [removed]


def _added(rng: random.Random) -> _Made:
    edited, layout = _plain(rng, 2)
    index = rng.randrange(2)
    new = edited.groups[index]
    edit = _Edit("object_added", (None, new.name), f"add {new.phrase}", ([], [index]))
    return (edited.without_group(index), edited), (layout.without(index), layout), [edit]


def _counted(rng: random.Random) -> _Made:
    """Between one and four things in four places; those that stay stand where they stood."""
    one, other = rng.sample(range(1, 5), 2)
    slots = rng.sample(range(4), max(one, other))
    thing, background = random_group(rng).thing, random_background(rng)
    layout = layout_with(rng, places_in_slots(rng, slots))
    groups = Group(thing, one), Group(thing, other)
    fewer = min(one, other)
    at = (list(range(fewer, one)), list(range(fewer, other)))
    number = NUMBERS[other - 1]
    edit = _Edit("count_changed", (groups[0].name, groups[1].name), f"change {groups[0].phrase} to {number}", at)
    layouts = [layout.with_placements(layout.placements[: group.count]) for group in groups]
    contents = [Content((group,), background) for group in groups]
    return (contents[0], contents[1]), (layouts[0], layouts[1]), [edit]


def _moved(rng: random.Random) -> _Made:
    """One thing beside another that stays in the middle: to another side of it."""
    relations = rng.sample(list(BESIDE), 2)
    first = random_group(rng)
    groups = (first, random_group(rng, [first.thing.name]))
    background = random_background(rng)
    layout = layout_with(rng, places_in_relation(rng, relations[0]))
    place = places_in_relation(rng, relations[1])[0]
    moved = layout.with_placements([Placement(place.x, place.y, layout.placements[0].size), layout.placements[1]])
    phrases = [f"{groups[0].name} {relation} {groups[1].phrase}" for relation in relations]
    instruction = f"move the {groups[0].name} {relations[1]} the {groups[1].name}"
    edit = _Edit("position_changed", (phrases[0], phrases[1]), instruction, ([0], [0]))
    contents = [Content(groups, background, relation) for relation in relations]
    return (contents[0], contents[1]), (layout, moved), [edit]


def _posed(rng: random.Random) -> _Made:
    animal = rng.choice(tuple(POSES))
    poses = rng.sample(POSES[animal], 2)
    content, layout = _plain(rng)
    index = rng.randrange(len(content.groups))
    others = [group.thing.name for group in content.groups[:index] + content.groups[index + 1 :]]
    if animal in others:
        return _posed(rng)
    group = random_group(rng, names=[animal])
    groups = [replace(group, thing=replace(group.thing, pose=pose)) for pose in poses]
    contents = [content.with_group(index, each) for each in groups]
    instruction = f"change the {groups[0].name} to {poses[1]}"
    edit = _Edit("action_changed", (groups[0].name, groups[1].name), instruction, ([index], [index]))
    return (contents[0], contents[1]), (layout, layout), [edit]


def _elsewhere(rng: random.Random) -> _Made:
    content, layout = _plain(rng)
    edited, edit = _change_background(rng, content)
    return (content, edited), (layout, layout), [edit]


def _change_background(rng: random.Random, content: Content) -> tuple[Content, _Edit]:
    new = _other(rng, BACKGROUNDS, content.background)
    instruction = f"change the {content.background} to {new}"
    edit = _Edit("background_changed", (content.background, new), instruction, ([], []))
    return replace(content, background=new), edit


def _several(rng: random.Random) -> _Made:
    """Both of two things replaced or recoloured."""
    content, layout = _plain(rng, 2)
    edited, edits = content, []
    for index in range(2):
        edited, edit = rng.choice((_replace, _recolour))(rng, edited, index)
        edits.append(edit)
    (first, second), (new_first, new_second) = (
        [each.thing.name for each in side.groups] for side in (content, edited)
    )
    if first == new_second or second == new_first:  # It would seem to have moved.
        return _several(rng)
    return (content, edited), (layout, layout), edits


PAIR_KINDS: dict[str, Callable[[random.Random], _Made]] = {
    "object_replaced": _replaced,
    "object_added": _added,
    "object_removed": _removed,
    "attribute_changed": _attribute,
    "count_changed": _counted,
    "position_changed": _moved,
    "action_changed": _posed,
    "background_changed": _elsewhere,
    "several": _several,
}
"""How a pair of each kind is made."""
