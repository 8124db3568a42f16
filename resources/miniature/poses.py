"""Animals that do something: each in two poses, whose outlines differ."""

from collections.abc import Callable

from resources.miniature.pen import INK, Pen


def _cat_sitting(pen: Pen) -> None:
    """Upright: a body under a head with open eyes, the tail up beside it."""
    pen.arc((0.52, 0.44, 0.98, 0.96), -80, 100, 2.6)
    pen.polygon([(0.34, 0.44), (0.66, 0.44), (0.78, 0.96), (0.2, 0.96)], pen.colour)
    pen.polygon([(0.24, 0.03), (0.44, 0.16), (0.24, 0.32)], pen.colour)
    pen.polygon([(0.76, 0.03), (0.56, 0.16), (0.76, 0.32)], pen.colour)
    pen.ellipse((0.22, 0.1, 0.78, 0.56), pen.colour)
    for x in (0.4, 0.6):
        pen.ellipse((x - 0.05, 0.26, x + 0.05, 0.4), INK, None)
    pen.line([(0.5, 0.7), (0.5, 0.95)])


def _cat_sleeping(pen: Pen) -> None:
    """Lying: a flat body with the head down at one end, the eyes closed."""
    pen.ellipse((0.2, 0.4, 0.97, 0.9), pen.colour)
    pen.polygon([(0.06, 0.38), (0.24, 0.5), (0.06, 0.62)], pen.colour)
    pen.polygon([(0.46, 0.38), (0.3, 0.5), (0.46, 0.62)], pen.colour)
    pen.ellipse((0.03, 0.48, 0.5, 0.92), pen.colour)
    pen.line([(0.12, 0.7), (0.22, 0.7)], 0.9)
    pen.line([(0.31, 0.7), (0.41, 0.7)], 0.9)
    pen.arc((0.5, 0.5, 0.94, 0.98), 20, 150, 1.4)


def _fish_swimming(pen: Pen) -> None:
    """Level, with a fin on its back."""
    pen.polygon([(0.66, 0.54), (0.97, 0.3), (0.97, 0.8)], pen.dark)
    pen.polygon([(0.28, 0.34), (0.44, 0.1), (0.6, 0.34)], pen.dark)
    pen.ellipse((0.03, 0.3, 0.78, 0.78), pen.colour)
    pen.ellipse((0.15, 0.43, 0.29, 0.57), INK, None)


def _fish_jumping(pen: Pen) -> None:
    """Upright, the tail below, drops beside it."""
    pen.polygon([(0.5, 0.66), (0.22, 0.97), (0.78, 0.97)], pen.dark)
    pen.ellipse((0.26, 0.03, 0.74, 0.78), pen.colour)
    pen.ellipse((0.43, 0.14, 0.57, 0.28), INK, None)
    pen.ellipse((0.04, 0.56, 0.2, 0.76), pen.light)
    pen.ellipse((0.8, 0.56, 0.96, 0.76), pen.light)


POSED: dict[tuple[str, str], Callable[[Pen], None]] = {
    ("cat", "sitting"): _cat_sitting,
    ("cat", "sleeping"): _cat_sleeping,
    ("fish", "swimming"): _fish_swimming,
    ("fish", "jumping"): _fish_jumping,
}
POSES: dict[str, tuple[str, ...]] = {
    animal: tuple(pose for name, pose in POSED if name == animal)
    for animal in dict.fromkeys(name for name, _ in POSED)
}
"""By animal, what it can do."""
