"""Boxes against a count of pixels; suppression against its definition; frames."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgdiff_assets.method.regions import (
    BOX_LINE,
    BOX_MARGIN,
    RED,
    area,
    draw_box,
    iou,
    side_by_side,
    suppress,
)
from resources.images.crops import padded

SIDE = 12
CORNER = st.integers(0, SIDE)
# Inverted and empty boxes included.
BOX = st.tuples(CORNER, CORNER, CORNER, CORNER)
BOXES = st.lists(BOX, max_size=7).map(lambda boxes: np.array(boxes, dtype=np.float64).reshape(-1, 4))


def _pixels(box: np.ndarray) -> np.ndarray:
    """The box drawn: a mask of the pixels inside."""
    x1, y1, x2, y2 = (int(value) for value in box)
    mask = np.zeros((SIDE, SIDE), dtype=bool)
    mask[y1:y2, x1:x2] = True
    return mask


@given(boxes=BOXES, others=BOXES)
@settings(max_examples=60)
def test_overlaps_are_those_of_the_drawn_pixels(boxes: np.ndarray, others: np.ndarray) -> None:
    found = iou(boxes, others)
    assert found.shape == (len(boxes), len(others))
    for row, box in enumerate(boxes):
        for column, other in enumerate(others):
            both, either = _pixels(box) & _pixels(other), _pixels(box) | _pixels(other)
            assert found[row, column] == pytest.approx(both.sum() / either.sum() if either.any() else 0.0)
    np.testing.assert_array_equal(area(boxes), [_pixels(box).sum() for box in boxes])


def test_overlap_of_fractions_of_pixels() -> None:
    boxes = np.array([[0.0, 0.0, 1.0, 1.0], [0.5, 0.0, 1.5, 1.0], [1.0, 0.0, 2.0, 1.0]])
    np.testing.assert_allclose(iou(boxes, boxes)[0], [1.0, 1 / 3, 0.0])


@given(boxes=BOXES, limit=st.sampled_from([0.0, 0.3, 0.5, 1.0]), data=st.data())
@settings(max_examples=80)
def test_suppression_keeps_the_first_and_only_what_is_apart(
    boxes: np.ndarray, limit: float, data: st.DataObject
) -> None:
    order = np.array(data.draw(st.permutations(range(len(boxes)))), dtype=np.intp)
    kept = suppress(boxes, order, limit)
    overlaps = iou(boxes, boxes)
    for place, index in enumerate(order):
        better = [other for other in order[:place] if kept[other]]
        # A box stays exactly if no better one that stays overlaps it too much.
        assert kept[index] == all(overlaps[index, other] <= limit for other in better)
    if len(order):
        assert kept[order[0]]


@given(boxes=BOXES, data=st.data())
@settings(max_examples=60)
def test_suppression_of_several_groups_is_that_of_each(boxes: np.ndarray, data: st.DataObject) -> None:
    order = np.array(data.draw(st.permutations(range(len(boxes)))), dtype=np.intp)
    groups = np.array(data.draw(st.lists(st.integers(0, 2), min_size=len(boxes), max_size=len(boxes))), dtype=np.int64)
    kept = suppress(boxes, order, 0.3, groups)
    for group in range(3):
        members = order[groups[order] == group]
        alone = suppress(boxes[members], np.arange(len(members)), 0.3)
        np.testing.assert_array_equal(kept[members], alone)


def test_suppression_takes_the_given_order_not_the_boxes_order() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [30, 30, 40, 40]], dtype=np.float64)
    assert suppress(boxes, np.array([0, 1, 2]), 0.5).tolist() == [True, False, True]
    assert suppress(boxes, np.array([2, 1, 0]), 0.5).tolist() == [False, True, True]
    assert suppress(boxes, np.array([1, 0, 2]), 0.9).tolist() == [True, True, True]


def test_an_overlap_at_the_limit_stays() -> None:
    boxes = np.array([[0, 0, 2, 1], [0, 0, 4, 1]], dtype=np.float64)
    assert suppress(boxes, np.array([0, 1]), 0.5).all()
    assert suppress(boxes, np.array([0, 1]), 0.499).tolist() == [True, False]


def test_the_frame_lies_around_the_box_and_leaves_the_region_as_it_is() -> None:
    image = np.full((60, 80, 3), 7, dtype=np.uint8)
    framed = draw_box(image, (20, 15, 50, 40))
    red = (framed == RED).all(axis=2)
    assert (image == 7).all(), "the original is not drawn into"
    x1, y1, x2, y2 = 20 - BOX_MARGIN, 15 - BOX_MARGIN, 50 + BOX_MARGIN, 40 + BOX_MARGIN
    expected = np.zeros((60, 80), dtype=bool)
    expected[y1:y2, x1:x2] = True
    expected[y1 + BOX_LINE : y2 - BOX_LINE, x1 + BOX_LINE : x2 - BOX_LINE] = False
    np.testing.assert_array_equal(red, expected)
    assert not red[15:40, 20:50].any()


@given(box=BOX, line=st.integers(1, 9), margin=st.integers(0, 9))
@settings(max_examples=60)
def test_any_box_can_be_framed(box: tuple[int, int, int, int], line: int, margin: int) -> None:
    image = np.full((SIDE, SIDE, 3), 7, dtype=np.uint8)
    framed = draw_box(image, box, line, margin)
    changed = (framed != image).any(axis=2)
    assert (framed[changed] == RED).all()
    x1, y1, x2, y2 = padded(box, margin, SIDE, SIDE)
    outside = np.ones((SIDE, SIDE), dtype=bool)
    outside[y1:y2, x1:x2] = False
    assert not changed[outside].any()


def test_side_by_side_has_a_black_bar_between() -> None:
    left, right = np.full((4, 3, 3), 1, dtype=np.uint8), np.full((4, 5, 3), 2, dtype=np.uint8)
    joined = side_by_side(left, right, bar=2)
    assert joined.shape == (4, 10, 3)
    assert joined[0, :, 0].tolist() == [1, 1, 1, 0, 0, 2, 2, 2, 2, 2]
