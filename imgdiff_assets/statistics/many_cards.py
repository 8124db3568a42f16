"""An estimate spread over many cards: how long it takes then, and what bounds it, the cards or the driver.

The driver is the run's own process, which stages what all workers measure. What it does for a pair and for a row is
recorded by `python -m benchmarks.scale`, on one core; what Dagster writes down for each table, by
`python -m benchmarks.control_plane`.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from imgdiff_assets.common.plain_text import bytes_text, counted
from imgdiff_assets.statistics.estimate import DATA, Estimate, hours_text, published_rates

SHARD = 5_000
"""Captions of a shard, as is handy where there are many."""

TABLES = 8


@dataclass(frozen=True, slots=True)
class ManyCards:
    """What so many cards take, in seconds: all of them together, and the driver of one run meanwhile.

    `bound` says which of them bounds the time, `largest` which measurement takes the largest `share` of the cards'.
    """

    gpus: int
    cards: float
    driver: float
    tables: int
    dagster: float
    largest: str | None
    share: float

    @property
    def bound(self) -> str:
        return "the cards" if self.cards / self.gpus >= self.driver + self.dagster else "the driver"

    @property
    def seconds(self) -> float:
        """By one run."""
        return max(self.cards / self.gpus, self.driver + self.dagster)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**asdict(self), "bound": self.bound, "seconds": self.seconds}


@cache
def recorded_driver() -> Mapping[str, float]:
    """Seconds of the driver's processor for each pair, row and table."""
    values: dict[str, float] = json.loads((DATA / "recorded_driver.json").read_text(encoding="utf-8"))
    return values


def spread(found: Estimate, gpus: int) -> ManyCards:
    """The estimate over so many cards, each with a worker."""
    costs = recorded_driver()
    known = {step.step: step for step in found.steps if step.rows is not None}
    pairs = known["image_pairs.generate"].rows or 0.0 if "image_pairs.generate" in known else 0.0
    rows = sum(step.rows or 0.0 for step in known.values())
    largest = max(known.values(), key=lambda step: step.seconds or 0.0, default=None)
    tables = TABLES * max(1, -(-round(found.captions) // SHARD))
    return ManyCards(
        gpus=gpus,
        cards=found.seconds,
        driver=pairs * costs["seconds_a_pair"] + rows * costs["seconds_a_row"],
        tables=tables,
        dagster=tables * costs["seconds_a_table"],
        largest=largest.step if largest is not None and found.seconds else None,
        share=(largest.seconds or 0.0) / found.seconds if largest is not None and found.seconds else 0.0,
    )


def many_cards_lines(found: Estimate, gpus: int, as_the_paper: Estimate) -> Iterator[str]:
    """The spread in words; `as_the_paper` is the same for as many captions as the paper had."""
    many, paper = spread(found, gpus), published_rates()["paper"]
    yield (
        f"On {counted(gpus, 'card')} {hours_text(many.seconds)}, bounded by {many.bound}: the cards need "
        f"{hours_text(many.cards / gpus)} each, the driver {hours_text(many.driver + many.dagster)} in all."
    )
    if many.largest is not None:
        yield f"Of the cards' time {many.share:.0%} is {many.largest}."
    if many.bound == "the driver":
        yield "Several runs over other shards have a driver each."
    yield (
        f"Stored: {bytes_text(found.image_bytes)} of images; {many.tables:,} tables in shards of {SHARD:,} captions, "
        f"about as many materialisations in Dagster, {hours_text(many.dagster)} of its log."
    )
    theirs = paper["cards"] * paper["days"] * 24
    yield (
        f"The paper's {paper['captions']:,} captions: {as_the_paper.seconds / 3600:,.0f} hours of a card by these "
        f"rates, {theirs:,.0f} in the paper ({paper['cards']} {paper['card']}, {paper['days']} days)."
    )
