"""The drawn world: what is drawn is what is said, and pairs differ only where meant."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.miniature.scenes import (
    BACKGROUNDS,
    COLOURS,
    IMAGE_SIZE,
    OBJECTS,
    Layout,
    Placement,
    SceneObject,
    caption,
    draw_scene,
    is_held_out,
    parse_caption,
    random_caption,
    random_content,
    random_layout,
)

things = st.builds(SceneObject, st.sampled_from(OBJECTS), st.sampled_from(tuple(COLOURS)))
contents = st.tuples(
    st.lists(things, min_size=1, max_size=2, unique_by=lambda thing: thing.name).map(tuple),
    st.sampled_from(BACKGROUNDS),
)


def test_the_world_is_big_enough() -> None:
    assert len(OBJECTS) >= 16
    assert len(COLOURS) == len(BACKGROUNDS) == 7
    assert [name for name in OBJECTS if " " in name] == ["ice cream"]


@given(contents)
def test_captions_are_parsed_back(content: tuple[tuple[SceneObject, ...], str]) -> None:
    assert parse_caption(caption(*content)) == content


def test_captions_read_as_english() -> None:
    orange_cup, ice_cream = SceneObject("cup", "orange"), SceneObject("ice cream", "red")
    assert caption([orange_cup], "sea") == "an orange cup on the sea"
    assert caption([ice_cream, orange_cup], "sand") == "a red ice cream and an orange cup on the sand"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a red ball",
        "a red ball on the roof",
        "a orange cup on the sea",
        "a purple ball on the sea",
        "a red ball and a blue ball on the sea",
        "a red ball on the sea.",
        "a red ball and a blue cup and a green cat on the sea",
    ],
)
def test_other_texts_are_no_captions(text: str) -> None:
    assert parse_caption(text) is None


@given(contents, st.integers(0, 10**6))
@settings(max_examples=50, deadline=None)
def test_masks_and_boxes_fit_the_objects(content: tuple[tuple[SceneObject, ...], str], seed: int) -> None:
    scene = draw_scene(random.Random(seed), *content)
    assert scene.image.shape == (IMAGE_SIZE, IMAGE_SIZE, 3)
    assert scene.image.dtype == np.uint8
    assert len(scene.masks) == len(scene.boxes) == len(scene.objects)
    for mask, (x1, y1, x2, y2) in zip(scene.masks, scene.boxes, strict=True):
        assert mask[y1:y2, x1:x2].sum() == mask.sum() > 100
        assert all(edge.any() for edge in (mask[y1], mask[y2 - 1], mask[:, x1], mask[:, x2 - 1]))
    if len(scene.objects) == 2:
        assert scene.boxes[0, 2] <= scene.boxes[1, 0], "the object named first stands on the left"


def test_a_scene_is_a_function_of_its_seed() -> None:
    first, again, other = (draw_scene(random.Random(seed)) for seed in (3, 3, 4))
    assert np.array_equal(first.image, again.image)
    assert first.caption == again.caption
    assert not np.array_equal(first.image, other.image)


def test_scenes_of_one_layout_differ_only_in_the_changed_object() -> None:
    rng = random.Random(1)
    cat, cup, boat = SceneObject("cat", "red"), SceneObject("cup", "blue"), SceneObject("boat", "red")
    source = draw_scene(rng, (cat, cup), "floor")
    target = draw_scene(rng, (boat, cup), "floor", source.layout)
    changed = (source.image != target.image).any(-1)
    assert changed.any()
    x1, y1 = np.minimum(source.boxes[0], target.boxes[0])[:2] - 1
    x2, y2 = np.maximum(source.boxes[0], target.boxes[0])[2:] + 1
    changed[y1:y2, x1:x2] = False
    assert not changed.any()


def test_removing_and_moving_an_object_leave_the_rest() -> None:
    rng = random.Random(2)
    cat, cup = SceneObject("cat", "red"), SceneObject("cup", "blue")
    both = draw_scene(rng, (cat, cup), "grass")
    alone = draw_scene(rng, (cup,), "grass", both.layout.without(0))
    assert np.array_equal(alone.boxes[0], both.boxes[1])
    assert np.array_equal(alone.image[:, 33:], both.image[:, 33:])
    left, right = both.layout.placements
    moved = draw_scene(
        rng, (cat, cup), "grass", both.layout.with_placements([Placement(left.x, left.y + 5, left.size), right])
    )
    assert np.array_equal(moved.boxes[0], both.boxes[0] + [0, 5, 0, 5])
    assert np.array_equal(moved.image[:, 33:], both.image[:, 33:])


def test_a_layout_must_have_a_place_for_each_object() -> None:
    layout = Layout((0.0, 0.0), 1.0, (Placement(32, 32, 30),))
    with pytest.raises(ValueError, match="1 placements cannot hold 2 objects"):
        draw_scene(random.Random(0), (SceneObject("cat", "red"), SceneObject("cup", "blue")), "sand", layout)


def test_about_one_triple_in_twelve_is_held_out_and_none_is_drawn_for_training() -> None:
    triples = [
        is_held_out([SceneObject(name, colour)], background)
        for name in OBJECTS
        for colour in COLOURS
        for background in BACKGROUNDS
    ]
    assert 0.06 < np.mean(triples) < 0.10
    rng = random.Random(0)
    assert not any(is_held_out(*random_content(rng)) for _ in range(500))
    for _ in range(50):
        content = parse_caption(random_caption(rng, held_out=True))
        assert content is not None
        assert is_held_out(*content)


def test_objects_stand_in_many_places() -> None:
    rng = random.Random(0)
    assert len({random_layout(rng, 1).placements[0].x for _ in range(300)}) > 20
