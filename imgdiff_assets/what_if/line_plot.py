"""A plot of a few lines over one axis."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

PAPER, INK, GREY, RULE = "#ffffff", "#16181d", "#6a707c", "#e3e5e9"
COLOURS = ("#1f6feb", "#d1571b", "#2f8f4e", "#8250df")
INCHES, DOTS_PER_INCH = (9, 5.2), 100
MARGINS = {"figure.constrained_layout.h_pad": 0.12, "figure.constrained_layout.w_pad": 0.12}


@dataclass(frozen=True, slots=True)
class Line:
    """A named series of (x, y) points, from left to right; those at the positions `hollow` are drawn as rings."""

    name: str
    points: Sequence[tuple[float, float]]
    hollow: Collection[int] = ()


def draw_plot(title: str, x_name: str, lines: Sequence[Line], marked: float | None = None) -> Image.Image:
    """The lines over their common range, y from zero; `marked` is an x that gets a dashed line if it is in range.

    900 × 520 pixels, RGB; the same lines give the same pixels.
    """
    canvas = plot(title, x_name, lines, marked)
    return Image.frombuffer("RGBA", canvas.get_width_height(), canvas.buffer_rgba()).convert("RGB")


def plot(title: str, x_name: str, lines: Sequence[Line], marked: float | None = None) -> "FigureCanvasAgg":
    """The same, drawn, with its one pair of axes."""
    from matplotlib import style
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    with style.context(["default", MARGINS]):  # whatever style the user's own configuration sets
        canvas = FigureCanvasAgg(Figure(INCHES, DOTS_PER_INCH, layout="constrained"))
        axes = canvas.figure.subplots()
        for line, colour in zip(lines, COLOURS, strict=False):
            x, y = zip(*line.points, strict=True)
            inside = [PAPER if number in line.hollow else colour for number in range(len(x))]
            axes.plot(x, y, colour, linewidth=2, marker="o", label=line.name)
            axes.scatter(x, y, 36, inside, edgecolors=colour, linewidths=2, zorder=3, clip_on=False)
        every_x, every_y = zip(*(point for line in lines for point in line.points), strict=True)
        if marked is not None and min(every_x) <= marked <= max(every_x):
            axes.axvline(marked, color=GREY, linewidth=1, linestyle="--")
            above = axes.get_xaxis_transform()
            axes.text(marked, 1.02, f"now {marked:g}", color=GREY, horizontalalignment="center", transform=above)
        axes.set_ylim(0, 1.05 * max(1, *every_y))
        axes.yaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10], integer=True))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.set_title(title, loc="left", fontsize=16, color=INK, pad=45)
        axes.set_xlabel(x_name, color=INK)
        axes.grid(axis="y", color=RULE)
        axes.tick_params(colors=GREY, length=0)
        axes.spines[:].set_visible(False)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.05), ncols=len(lines), frameon=False, borderaxespad=0)
        canvas.draw()
    return canvas
