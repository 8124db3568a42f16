"""Outlined shapes in one colour on a transparent square, of which all objects of the drawn world are made.

Coordinates are fractions of the square, (0, 0) at its top left. Shapes are drawn at four times their size, then
reduced, so that edges are smooth.
"""

from collections.abc import Sequence

from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
Point = tuple[float, float]

INK: Colour = (25, 25, 30)
CREAM: Colour = (245, 232, 205)
GLASS: Colour = (190, 222, 245)
TYRE: Colour = (60, 60, 62)
WOOD: Colour = (120, 75, 40)
SUPERSAMPLING = 4


def _mix(colour: Colour, other: Colour, share: float) -> Colour:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(colour, other, strict=True))
    return red, green, blue


class Pen:
    """Outlined shapes in one colour on a transparent square."""

    def __init__(self, colour: Colour, size: int) -> None:
        self.side = size * SUPERSAMPLING
        self.image = Image.new("RGBA", (self.side, self.side), (0, 0, 0, 0))
        self.canvas = ImageDraw.Draw(self.image)
        self.line_width = max(2, int(self.side * 0.045))
        self.colour = colour
        self.dark = _mix(colour, (0, 0, 0), 0.36)
        # A lighter tone stands out from every colour but white, which needs a darker one.
        self.light = _mix(colour, (150, 155, 165), 0.5) if min(colour) > 240 else _mix(colour, (255, 255, 255), 0.58)

    def _pixels(self, points: Sequence[Point]) -> list[Point]:
        return [(x * self.side, y * self.side) for x, y in points]

    def polygon(self, points: Sequence[Point], fill: Colour, outline: Colour | None = INK) -> None:
        corners = self._pixels(points)
        self.canvas.polygon(corners, fill=fill)
        if outline is not None:
            self.canvas.line([*corners, *corners[:2]], fill=outline, width=self.line_width, joint="curve")

    def ellipse(self, box: Sequence[float], fill: Colour, outline: Colour | None = INK) -> None:
        self.canvas.ellipse([v * self.side for v in box], fill=fill, outline=outline, width=self.line_width)

    def rectangle(self, box: Sequence[float], fill: Colour, outline: Colour | None = INK) -> None:
        self.canvas.rectangle([v * self.side for v in box], fill=fill, outline=outline, width=self.line_width)

    def line(self, points: Sequence[Point], width: float = 1.0) -> None:
        self.canvas.line(self._pixels(points), fill=INK, width=round(self.line_width * width), joint="curve")

    def dome(self, box: Sequence[float], fill: Colour) -> None:
        """The upper half of an ellipse."""
        self.canvas.pieslice([v * self.side for v in box], 180, 360, fill=fill, outline=INK, width=self.line_width)

    def arc(self, box: Sequence[float], start: float, end: float, width: float) -> None:
        self.canvas.arc([v * self.side for v in box], start, end, fill=INK, width=round(self.line_width * width))
