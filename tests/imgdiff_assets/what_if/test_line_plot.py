"""A plot is looked at where its lines must be: pixels at the places that the values have."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageColor

from imgdiff_assets.what_if.line_plot import COLOURS, PAPER, Line, draw_plot, plot

POINTS = [(0.0, 100.0), (0.5, 100.0), (1.0, 0.0)]


class Seen:
    """A plot as it is seen: which of the lines' colours, or the paper's, the pixel at a value is nearest to."""

    def __init__(self, *lines: Line, marked: float | None = None) -> None:
        self.axes = plot("What it keeps", "threshold", lines, marked).figure.axes[0]
        self.picture = np.asarray(draw_plot("What it keeps", "threshold", lines, marked)).astype(int)

    def column(self, x: float) -> float:
        return float(self.axes.transData.transform((x, 0))[0])

    def colour(self, x: float, y: float) -> str:
        column, from_below = self.axes.transData.transform((x, y))
        pixel = self.picture[round(len(self.picture) - from_below), round(column)]
        return min((PAPER, *COLOURS), key=lambda colour: np.abs(pixel - ImageColor.getrgb(colour)).sum())


def test_the_line_is_where_its_values_are() -> None:
    seen = Seen(Line("kept", POINTS))
    assert seen.picture.shape == (520, 900, 3)
    for x, y in [*POINTS[:2], (0.25, 100), (0.75, 50), (0.99, 2)]:
        assert seen.colour(x, y) == COLOURS[0], (x, y)
    for x, y in [(0.25, 50), (0.9, 80), (0.5, 25)]:
        assert seen.colour(x, y) == PAPER, (x, y)


def test_a_hollow_point_is_a_ring_and_a_second_line_has_another_colour() -> None:
    seen = Seen(Line("kept", POINTS), Line("samples", [(x, y / 2) for x, y in POINTS], hollow=[1]))
    assert seen.colour(0.5, 100) == COLOURS[0]
    assert seen.colour(0.25, 50) == COLOURS[1]
    assert seen.colour(0.5, 50) == PAPER


def test_the_present_value_is_marked_if_it_is_in_range() -> None:
    plain, marked, outside = (Seen(Line("kept", POINTS), marked=present) for present in (None, 0.25, 1.5))
    changed = np.flatnonzero((plain.picture != marked.picture).any(axis=(0, 2)))
    assert abs(changed.mean() - plain.column(0.25)) < 2
    np.testing.assert_array_equal(plain.picture, outside.picture)


@pytest.mark.parametrize("points", [[(0.7, 0.0)], [(3.0, 2.0), (3.0, 1.0)]])
def test_one_value_or_nothing_kept_can_be_drawn(points: list[tuple[float, float]]) -> None:
    picture = np.asarray(draw_plot("", "", [Line("kept", points)]))
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 2


def test_the_same_lines_give_the_same_pixels_whatever_style_the_user_likes(tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_text("lines.linewidth: 9\nfont.size: 20\naxes.facecolor: pink\n")
    code = (
        "from imgdiff_assets.what_if.line_plot import Line, draw_plot; "
        f"draw_plot('What it keeps', 'threshold', [Line('kept', {POINTS})]).save('plot.png')"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=120)
    here = draw_plot("What it keeps", "threshold", [Line("kept", POINTS)])
    np.testing.assert_array_equal(Image.open(tmp_path / "plot.png"), here)
