"""A plot is looked at where its lines must be: pixels at the places that the values have."""

import numpy as np
import pytest
from PIL import ImageColor

from imgdiff_assets.what_if.line_plot import (
    BOTTOM,
    COLOURS,
    HEIGHT,
    LEFT,
    MOST_TICKS,
    PAPER,
    RIGHT,
    TOP,
    WIDTH,
    Line,
    draw_plot,
    ticks,
)

POINTS = [(0.0, 100.0), (0.5, 100.0), (1.0, 0.0)]


def colour_at(picture: np.ndarray, x: float, y: float) -> str:
    """That of the lines' colours, or the paper's, which a pixel is nearest to: its edges are soft."""
    pixel = picture[round(y), round(x)].astype(int)
    return min((PAPER, *COLOURS), key=lambda colour: np.abs(pixel - ImageColor.getrgb(colour)).sum())


def place(x: float, y: float) -> tuple[float, float]:
    """Pixels of a value, on axes from 0 to 1 and from 0 to a twentieth above 100."""
    return LEFT + x * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - y / 105 * (HEIGHT - TOP - BOTTOM)


def test_the_line_is_where_its_values_are() -> None:
    image = draw_plot("What it keeps", "threshold", [Line("kept", POINTS)])
    assert image.size == (WIDTH, HEIGHT)
    picture = np.asarray(image)
    for x, y in [*POINTS, (0.25, 100), (0.75, 50)]:
        assert colour_at(picture, *place(x, y)) == COLOURS[0], (x, y)
    for x, y in [(0.25, 50), (0.9, 80), (0.5, 25)]:
        assert colour_at(picture, *place(x, y)) == PAPER, (x, y)


def test_a_hollow_point_is_a_ring_and_a_second_line_has_another_colour() -> None:
    lines = [Line("kept", POINTS), Line("samples", [(x, y / 2) for x, y in POINTS], hollow=[1])]
    picture = np.asarray(draw_plot("What it keeps", "threshold", lines))
    assert colour_at(picture, *place(0.5, 100)) == COLOURS[0]
    assert colour_at(picture, *place(0.25, 50)) == COLOURS[1]
    assert colour_at(picture, *place(0.5, 50)) == PAPER


def test_the_present_value_is_marked_if_it_is_in_range() -> None:
    plain, marked, outside = (
        np.asarray(draw_plot("", "", [Line("kept", POINTS)], present)) for present in (None, 0.25, 1.5)
    )
    changed = np.flatnonzero((plain != marked).any(axis=(0, 2)))
    assert abs(changed.mean() - place(0.25, 0)[0]) < 2
    np.testing.assert_array_equal(plain, outside)


@pytest.mark.parametrize("points", [[(0.7, 0.0)], [(3.0, 2.0), (3.0, 1.0)]])
def test_one_value_or_nothing_kept_can_be_drawn(points: list[tuple[float, float]]) -> None:
    picture = np.asarray(draw_plot("", "", [Line("kept", points)]))
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 2


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0.7, 0.99, [0.7, 0.75, 0.8, 0.85, 0.9, 0.95]),
        (0, 105, [0, 20, 40, 60, 80, 100]),
        (1, 5, [1, 2, 3, 4, 5]),
    ],
)
def test_ticks_are_round_numbers(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected)
    assert len(expected) <= MOST_TICKS
