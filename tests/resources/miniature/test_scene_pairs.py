"""Pairs of scenes that differ in one object, and their regions."""

import random

import numpy as np
import pytest

from resources.miniature.scene_pairs import CHANGES, Box, Change, draw_pair, loosen
from resources.miniature.scenes import IMAGE_SIZE, is_held_out


@pytest.mark.parametrize("change", sorted(set(CHANGES)))
def test_nothing_changes_outside_the_changed_object(change: Change) -> None:
    rng = random.Random(0)
    for _ in range(20):
        pair = draw_pair(rng, change)
        first, second = pair.scenes
        changed = np.abs(first.image.astype(int) - second.image).max(-1) > 0
        for region in pair.regions:
            if region.contents[0] != region.contents[1]:
                x1, y1, x2, y2 = region.box
                # The soft edge of a drawing reaches a pixel beyond its mask.
                changed[max(0, y1 - 1) : y2 + 1, max(0, x1 - 1) : x2 + 1] = False
        assert not changed.any()
        assert (change == "identical") == (first.objects == second.objects)
        assert not is_held_out(first.objects, first.background)
        assert not is_held_out(second.objects, second.background)


def test_regions_are_tight_around_the_object_of_one_image() -> None:
    rng = random.Random(1)
    for _ in range(50):
        pair = draw_pair(rng, rng.choice(CHANGES))
        standing = [
            {(thing, tuple(box)) for thing, box in zip(scene.objects, scene.boxes.tolist(), strict=True)}
            for scene in pair.scenes
        ]
        for region in pair.regions:
            if region.contents == (None, None):
                assert all(_apart(region.box, box) for objects in standing for _, box in objects)
            else:
                assert any((region.contents[side], region.box) in standing[side] for side in range(2))


def _apart(box: Box, other: Box) -> bool:
    return box[0] >= other[2] or box[2] <= other[0] or box[1] >= other[3] or box[3] <= other[1]


def test_a_held_out_pair_starts_from_a_combination_that_training_never_shows() -> None:
    rng = random.Random(2)
    for _ in range(20):
        first, _ = draw_pair(rng, "replaced", held_out=True).scenes
        assert is_held_out(first.objects, first.background)


def test_loosened_boxes_stay_in_the_image_and_near_their_box() -> None:
    rng = random.Random(3)
    for box in ((0, 0, 8, 8), (56, 54, 64, 64), (20, 20, 40, 40)):
        for _ in range(200):
            loose = loosen(rng, box)
            assert 0 <= loose[0] < loose[2] <= IMAGE_SIZE
            assert 0 <= loose[1] < loose[3] <= IMAGE_SIZE
            assert all(abs(edge - other) <= 7 for edge, other in zip(loose, box, strict=True))
