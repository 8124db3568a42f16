"""Who is served, and how well: which recipe for which machine, and what 1,000 samples take there."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from imgdiff_assets.common.plain_text import bytes_text
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.statistics.estimate import CARDS, GENERATED, Estimate, estimate, hours_text

SAMPLES = 1_000
SERVED_BY = "captioner.base_url=http://server/v1"


@dataclass(frozen=True, slots=True)
class Machine:
    """What somebody has. `card` is the one whose published rates are taken, `price` an assumed one, in USD an hour.

    `share` is of the time that one card would take; without `draws`, pairs come from elsewhere.
    """

    has: str
    recipe: str
    what: str
    card: str = CARDS[0]
    price: float | None = None
    share: float = 1.0
    draws: bool = True
    overrides: Sequence[str] = ()


MACHINES = (
    Machine("a CPU alone", "miniature", "the drawn world, to try things out"),
    Machine("one card of 24 GB", "small", "its models in turn", "L4", 0.8),
    Machine("one card of 80 GB", "modern", "all models at once", "H100", 2.5),
    Machine("four cards of 80 GB", "modern", "all models on each; --workers 4", "H100", 2.5, share=0.25),
    Machine("a server, no card", "modern", f"pairs you have; --set {SERVED_BY}", draws=False, overrides=(SERVED_BY,)),
)


@cache
def served() -> tuple[tuple[Machine, Estimate], ...]:
    """Each machine with what 1,000 samples take on it, whatever home there is."""
    return tuple(
        (each, estimate(None, load_recipe(each.recipe, each.overrides), None, SAMPLES, each.card, each.price))
        for each in MACHINES
    )


def served_rows() -> list[tuple[str, ...]]:
    """The table, its head first."""
    rows: list[tuple[str, ...]] = [("you have", "recipe", "how", "seconds a pair", "disk", "time", "USD")]
    for machine, found in served():
        pair = next(step.seconds_a_row for step in found.steps if step.step == GENERATED)
        describing = sum(step.seconds or 0 for step in found.steps if step.step.startswith("captions."))
        seconds = (found.seconds if machine.draws else describing) * machine.share
        cards = round(1 / machine.share)
        taken = hours_text(seconds) if machine.draws else f"{hours_text(seconds)} of the server's"
        drawn = f"{pair:.2g}" if pair is not None else "not known"
        rows.append(
            (
                machine.has,
                machine.recipe,
                machine.what,
                drawn if machine.draws else "none is drawn",
                bytes_text(found.image_bytes + found.weight_bytes),
                f"{taken}, and the drawing" if machine.draws and pair is None else taken,
                "" if machine.price is None or pair is None else f"{machine.price * seconds * cards / 3600:,.0f}",
            )
        )
    return rows


def served_text() -> str:
    """The table for a terminal."""
    rows = [[row[0], row[1], *row[3:]] for row in served_rows()]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    head = f"What {SAMPLES:,} samples take: recorded of the miniature, else by published rates and assumed prices"
    return "\n".join([f"{head} (docs/who_is_served.md)", *(f"  {line}" for line in lines)])


def served_markdown() -> str:
    """The table of the page in docs."""
    head, *rows = served_rows()
    lines = [f"| {' | '.join(row)} |" for row in (head, tuple("---" for _ in head), *rows)]
    return "\n".join(lines)
