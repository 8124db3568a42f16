"""How each object and each background of the drawn world looks.

Objects are outlined in ink.
"""

import functools
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resources.miniature.pen import CREAM, GLASS, INK, SUPERSAMPLING, TYRE, WOOD, Colour, Pen
from resources.miniature.poses import POSED

COLOURS: dict[str, Colour] = {
    "red": (215, 35, 40),
    "orange": (248, 135, 25),
    "yellow": (250, 222, 50),
    "green": (35, 150, 60),
    "blue": (45, 80, 220),
    "pink": (248, 130, 205),
    "white": (252, 252, 252),
}
BACKGROUND_COLOURS: dict[str, Colour] = {
    "grass": (125, 195, 95),
    "sand": (228, 205, 150),
    "sea": (100, 175, 220),
    "snow": (236, 241, 248),
    "floor": (170, 120, 82),
    "road": (128, 128, 133),
    "carpet": (112, 84, 150),
}


def _ball(pen: Pen) -> None:
    pen.ellipse((0.05, 0.05, 0.95, 0.95), pen.colour)
    pen.ellipse((0.24, 0.18, 0.46, 0.4), pen.light, None)


def _cube(pen: Pen) -> None:
    pen.polygon([(0.06, 0.32), (0.64, 0.32), (0.64, 0.94), (0.06, 0.94)], pen.colour)
    pen.polygon([(0.06, 0.32), (0.34, 0.07), (0.94, 0.07), (0.64, 0.32)], pen.light)
    pen.polygon([(0.64, 0.32), (0.94, 0.07), (0.94, 0.68), (0.64, 0.94)], pen.dark)


def _star(pen: Pen) -> None:
    radii = (0.48, 0.21)
    pen.polygon(
        [
            (0.5 + radii[i % 2] * math.sin(i * math.pi / 5), 0.53 - radii[i % 2] * math.cos(i * math.pi / 5))
            for i in range(10)
        ],
        pen.colour,
    )


def _tree(pen: Pen) -> None:
    pen.rectangle((0.41, 0.68, 0.59, 0.97), WOOD)
    pen.polygon(
        [(0.5, 0.03), (0.76, 0.36), (0.66, 0.36), (0.92, 0.74), (0.08, 0.74), (0.34, 0.36), (0.24, 0.36)], pen.colour
    )


def _house(pen: Pen) -> None:
    pen.rectangle((0.14, 0.44, 0.86, 0.95), CREAM)
    pen.polygon([(0.5, 0.05), (0.97, 0.48), (0.03, 0.48)], pen.colour)
    pen.rectangle((0.41, 0.62, 0.6, 0.95), pen.dark)


def _boat(pen: Pen) -> None:
    pen.line([(0.48, 0.05), (0.48, 0.66)])
    pen.polygon([(0.54, 0.07), (0.92, 0.56), (0.54, 0.56)], CREAM)
    pen.polygon([(0.03, 0.64), (0.97, 0.64), (0.78, 0.94), (0.22, 0.94)], pen.colour)


def _car(pen: Pen) -> None:
    pen.polygon([(0.18, 0.5), (0.32, 0.22), (0.68, 0.22), (0.84, 0.5)], GLASS)
    pen.rectangle((0.03, 0.46, 0.97, 0.76), pen.colour)
    pen.ellipse((0.13, 0.62, 0.39, 0.88), TYRE)
    pen.ellipse((0.61, 0.62, 0.87, 0.88), TYRE)


def _cat(pen: Pen) -> None:
    pen.polygon([(0.12, 0.04), (0.44, 0.28), (0.12, 0.52)], pen.colour)
    pen.polygon([(0.88, 0.04), (0.56, 0.28), (0.88, 0.52)], pen.colour)
    pen.ellipse((0.08, 0.2, 0.92, 0.94), pen.colour)
    for x in (0.34, 0.66):
        pen.ellipse((x - 0.08, 0.42, x + 0.08, 0.6), INK)
    pen.polygon([(0.41, 0.67), (0.59, 0.67), (0.5, 0.78)], INK, None)


def _fish(pen: Pen) -> None:
    pen.polygon([(0.66, 0.5), (0.97, 0.2), (0.97, 0.8)], pen.dark)
    pen.ellipse((0.03, 0.22, 0.78, 0.78), pen.colour)
    pen.ellipse((0.17, 0.37, 0.31, 0.51), INK, None)


def _mushroom(pen: Pen) -> None:
    pen.rectangle((0.35, 0.5, 0.65, 0.96), CREAM)
    pen.dome((0.04, 0.06, 0.96, 1.06), pen.colour)
    for x, y in ((0.28, 0.4), (0.52, 0.25), (0.74, 0.42)):
        pen.ellipse((x - 0.07, y - 0.07, x + 0.07, y + 0.07), pen.light, None)


def _flower(pen: Pen) -> None:
    pen.line([(0.5, 0.5), (0.5, 0.97)], 2.0)
    petals = [
        (0.5 + 0.25 * math.cos(i * math.tau / 5 - math.pi / 2), 0.38 + 0.25 * math.sin(i * math.tau / 5 - math.pi / 2))
        for i in range(5)
    ]
    for x, y in petals:
        pen.ellipse((x - 0.17, y - 0.17, x + 0.17, y + 0.17), pen.colour)
    pen.ellipse((0.36, 0.24, 0.64, 0.52), CREAM)


def _cup(pen: Pen) -> None:
    pen.arc((0.56, 0.32, 0.96, 0.76), -110, 110, 2.4)
    pen.polygon([(0.08, 0.18), (0.76, 0.18), (0.67, 0.94), (0.17, 0.94)], pen.colour)
    pen.ellipse((0.08, 0.08, 0.76, 0.28), pen.light)


def _heart(pen: Pen) -> None:
    angles = [i * math.tau / 40 for i in range(40)]
    pen.polygon(
        [
            (
                0.5 + 0.029 * 16 * math.sin(a) ** 3,
                0.46 - 0.029 * (13 * math.cos(a) - 5 * math.cos(2 * a) - 2 * math.cos(3 * a) - math.cos(4 * a)),
            )
            for a in angles
        ],
        pen.colour,
    )


def _moon(pen: Pen) -> None:
    outer = [(0.55 + 0.46 * math.cos(a), 0.5 + 0.46 * math.sin(a)) for a in np.linspace(0.9, math.tau - 0.9, 30)]
    (x, top), (_, bottom) = outer[-1], outer[0]
    # The inner edge is the arc through both horns, bulging left.
    centre, radius = x + 0.1, math.hypot(0.1, (bottom - top) / 2)
    angle = math.atan2((bottom - top) / 2, -0.1)
    inner = [
        (centre + radius * math.cos(a), 0.5 + radius * math.sin(a)) for a in np.linspace(math.tau - angle, angle, 24)
    ]
    pen.polygon([*outer, *inner], pen.colour)


def _kite(pen: Pen) -> None:
    pen.line([(0.5, 0.6), (0.42, 0.74), (0.58, 0.84), (0.46, 0.98)], 1.4)
    pen.polygon([(0.5, 0.02), (0.9, 0.3), (0.5, 0.72), (0.1, 0.3)], pen.colour)
    pen.line([(0.5, 0.02), (0.5, 0.72)], 0.9)
    pen.line([(0.1, 0.3), (0.9, 0.3)], 0.9)


def _ice_cream(pen: Pen) -> None:
    pen.polygon([(0.22, 0.46), (0.78, 0.46), (0.5, 0.98)], (215, 165, 100))
    pen.ellipse((0.17, 0.03, 0.83, 0.6), pen.colour)
    pen.ellipse((0.3, 0.13, 0.5, 0.3), pen.light, None)


DRAWINGS: dict[str, Callable[[Pen], None]] = {
    "ball": _ball,
    "cube": _cube,
    "star": _star,
    "tree": _tree,
    "house": _house,
    "boat": _boat,
    "car": _car,
    "cat": _cat,
    "fish": _fish,
    "mushroom": _mushroom,
    "flower": _flower,
    "cup": _cup,
    "heart": _heart,
    "moon": _moon,
    "kite": _kite,
    "ice cream": _ice_cream,
}


@functools.cache
def draw_object(name: str, colour: str, size: int, pose: str = "") -> Image.Image:
    """An object as an RGBA image of `size` pixels square, transparent around it. Callers must not change it.

    Animals are drawn in a `pose` where one is given.
    """
    pen = Pen(COLOURS[colour], size)
    (POSED[name, pose] if pose else DRAWINGS[name])(pen)
    return pen.image.reduce(SUPERSAMPLING)


def draw_background(name: str, size: int, phase: tuple[float, float], brightness: float) -> NDArray[np.uint8]:
    """A background as RGB uint8 (size, size, 3): its colour times `brightness`, its pattern shifted by `phase`."""
    rows, columns = np.mgrid[0:size, 0:size].astype(np.float32)
    x, y = columns + phase[0], rows + phase[1]
    if name == "grass":
        pattern = 12 * np.sin(0.8 * x) * np.sin(0.4 * y + np.sin(0.4 * x))
    elif name == "sand":
        pattern = 8 * np.sin(0.25 * x + 0.15 * y + np.sin(0.2 * y))
    elif name == "sea":
        pattern = 14 * np.sin(0.6 * y + 1.2 * np.sin(0.3 * x))
    elif name == "snow":
        pattern = 6 * np.sin(0.12 * x) * np.sin(0.12 * y)
    elif name == "floor":
        pattern = np.where(y % 16 < 1.5, -40, 0) + 4 * np.sin(0.1 * x)
    elif name == "road":
        pattern = np.where((abs(rows - 56) < 2) & (x % 20 < 11), 90, 0)
    else:
        pattern = 10 * np.sign(np.sin(math.pi * x / 12) * np.sin(math.pi * y / 12))
    colour = np.array(BACKGROUND_COLOURS[name], np.float32) * brightness
    pixels: NDArray[np.uint8] = np.clip(colour + pattern[..., None], 0, 255).astype(np.uint8)
    return pixels
