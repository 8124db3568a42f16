"""A plot of a few lines over one axis, drawn with Pillow."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

WIDTH, HEIGHT = 900, 520
LEFT, RIGHT, TOP, BOTTOM = 90, 30, 90, 70
SCALE = 3
"""Drawn this much larger and scaled down, for Pillow draws lines with hard edges."""

PAPER, INK, GREY, RULE = "#ffffff", "#16181d", "#6a707c", "#e3e5e9"
COLOURS = ("#1f6feb", "#d1571b", "#2f8f4e", "#8250df")
MOST_TICKS = 7

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Line:
    """A named series of (x, y) points, from left to right; those at the positions `hollow` are drawn as rings."""

    name: str
    points: Sequence[Point]
    hollow: Collection[int] = ()


def draw_plot(title: str, x_name: str, lines: Sequence[Line], marked: float | None = None) -> Image.Image:
    """The lines over their common range, y from zero; `marked` is an x that gets a dashed line if it is in range."""
    canvas = _Canvas([point for line in lines for point in line.points])
    for value in ticks(canvas.low, canvas.high):
        canvas.text((canvas.x(value), HEIGHT - BOTTOM + 10), f"{value:g}", "mt", GREY)
    for value in ticks(0, canvas.top):
        canvas.line([(LEFT, canvas.y(value)), (WIDTH - RIGHT, canvas.y(value))], RULE, 1)
        canvas.text((LEFT - 10, canvas.y(value)), f"{value:,.10g}", "rm", GREY)
    if marked is not None and canvas.low <= marked <= canvas.high:
        for start in range(TOP, HEIGHT - BOTTOM, 10):
            canvas.line([(canvas.x(marked), start), (canvas.x(marked), start + 5)], GREY, 1)
        canvas.text((canvas.x(marked), TOP - 6), f"now {marked:g}", "mb", GREY)
    for line, colour in zip(lines, COLOURS, strict=False):
        canvas.line([(canvas.x(x), canvas.y(y)) for x, y in line.points], colour, 2)
        for number, (x, y) in enumerate(line.points):
            canvas.dot((canvas.x(x), canvas.y(y)), colour, PAPER if number in line.hollow else colour)
    canvas.text((LEFT, 16), title, "lt", INK, 20)
    canvas.legend([(line.name, colour) for line, colour in zip(lines, COLOURS, strict=False)])
    canvas.text(((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 14), x_name, "mb", INK)
    return canvas.image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)


def ticks(low: float, high: float) -> list[float]:
    """At most MOST_TICKS round numbers from `low` to `high`, evenly spaced."""
    span = high - low
    step = 10.0 ** math.floor(math.log10(span))
    step = next(step * factor for factor in (0.2, 0.5, 1, 2, 5) if span / (step * factor) <= MOST_TICKS - 1)
    return [
        round(number * step, 10) for number in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)
    ]


class _Canvas:
    """Draws in pixels of the finished picture; `x` and `y` turn values into them."""

    def __init__(self, points: Sequence[Point]) -> None:
        self.low, self.high = min(x for x, _ in points), max(x for x, _ in points)
        if self.low == self.high:
            self.low, self.high = self.low - 0.5, self.high + 0.5
        self.top = max(*(y for _, y in points), 1) * 1.05
        self.image = Image.new("RGB", (WIDTH * SCALE, HEIGHT * SCALE), PAPER)
        self._draw = ImageDraw.Draw(self.image)

    def x(self, value: float) -> float:
        return LEFT + (value - self.low) / (self.high - self.low) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - value / self.top * (HEIGHT - TOP - BOTTOM)

    def line(self, points: Sequence[Point], colour: str, width: int) -> None:
        self._draw.line([_large(point) for point in points], fill=colour, width=width * SCALE, joint="curve")

    def dot(self, centre: Point, colour: str, inside: str) -> None:
        self._draw.circle(_large(centre), 4 * SCALE, fill=inside, outline=colour, width=2 * SCALE)

    def text(self, place: Point, text: str, anchor: str, colour: str, size: int = 14) -> float:
        """Write at `place`; returns the width of the text."""
        font = ImageFont.load_default(size * SCALE)
        self._draw.text(_large(place), text, fill=colour, font=font, anchor=anchor)
        return self._draw.textlength(text, font=font) / SCALE

    def legend(self, entries: Sequence[tuple[str, str]]) -> None:
        left = float(LEFT)
        for name, colour in entries:
            self.line([(left, 56), (left + 24, 56)], colour, 2)
            self.dot((left + 12, 56), colour, colour)
            left += 32 + self.text((left + 32, 56), name, "lm", INK) + 28


def _large(point: Point) -> Point:
    return point[0] * SCALE, point[1] * SCALE
