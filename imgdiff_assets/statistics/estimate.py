"""What a recipe will take for so many captions: hours, disk and money, and where each rate is from.

A rate is one of this home's own, else one that this project recorded, else one that others published; they are told
apart, and what nobody knows is left out of the sums and named.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from imgdiff_assets.common.plain_text import bytes_text, counted
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.shards import shard_keys
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.setup.model_list import distinct, model_states
from imgdiff_assets.stages.graph import stages_of
from imgdiff_assets.stages.steps import Measurement
from imgdiff_assets.statistics.measured_rates import HomeRates, StepRate, measured_rates
from resources.loading.weights import MINIATURE_PREFIX

DATA = Path(__file__).parents[1] / "data"
HERE, RECORDED, PUBLISHED, UNKNOWN = "this home", "recorded", "published", "not known"
CARDS = ("A100", "H100", "L4")
FEWEST_ROWS = 10
"""Of a home's measurement with fewer rows, loading the model was most of the time."""

ANSWERS = {"captions.describe": 2}
"""Answers that a row of a measurement asks for, where they are more than one."""

IMAGE_BYTES_A_PIXEL = 1.5
"""Of a lossless PNG: about half of its three bytes."""


@dataclass(frozen=True, slots=True)
class EstimatedStep:
    """One measurement: how many rows it will have and how many seconds each takes, None where nobody knows."""

    step: str
    rows: float | None
    seconds_a_row: float | None
    rate_from: str
    note: str

    @property
    def seconds(self) -> float | None:
        return None if self.rows is None or self.seconds_a_row is None else self.rows * self.seconds_a_row


@dataclass(frozen=True, slots=True)
class Estimate:
    """What so many captions will take by a recipe; `rows_from` says where the numbers of rows are from."""

    recipe: str
    captions: float
    samples: float | None
    steps: Sequence[EstimatedStep]
    rows_from: str
    image_bytes: float
    weight_bytes: int
    price: float | None = None

    @property
    def seconds(self) -> float:
        return sum(step.seconds or 0.0 for step in self.steps)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        cost = None if self.price is None else self.price * self.seconds / 3600
        return {**asdict(self), "seconds": self.seconds, "cost": cost}


def estimate(
    home: Home | None,
    recipe: Recipe,
    captions: float | None,
    samples: float | None = None,
    card: str = CARDS[0],
    price: float | None = None,
) -> Estimate:
    """For `captions`, or for as many as give so many `samples`; published rates are those of `card`."""
    here = HomeRates(0, {}, {}, None, None) if home is None else measured_rates(home, recipe, shard_keys(home))
    recorded = recorded_rates() if recipe.models.pair_generator.model.startswith(MINIATURE_PREFIX) else None
    rows_from, per_caption, share = _rows(here, recorded)
    if captions is None:
        captions = (samples or 0) / share if share else 0.0
    steps = []
    for stage in stages_of(recipe):
        for step in stage.measurements if stage.enabled(recipe) else ():
            name = f"{stage.name}.{step.name}"
            if step.roles:
                found = per_caption.get(name)
                rows = None if found is None else found * captions
                steps.append(EstimatedStep(name, rows, *_rate(name, step, recipe, here, recorded, card)))
    side = recipe.models.pair_generator.image_size
    pair_bytes = here.pair_bytes or 2 * side * side * IMAGE_BYTES_A_PIXEL
    return Estimate(
        recipe=recipe.name,
        captions=captions,
        samples=None if share is None else share * captions,
        steps=steps,
        rows_from=rows_from,
        image_bytes=pair_bytes * captions * per_caption.get("image_pairs.generate", 1.0),
        weight_bytes=sum(state.disk_bytes or 0 for state in distinct(model_states(recipe))),
        price=price,
    )


@cache
def recorded_rates() -> HomeRates:
    """What `python -m benchmarks.rates` measured of the miniature."""
    values = json.loads((DATA / "recorded_rates.json").read_text(encoding="utf-8"))
    steps = {name: StepRate(**rate) for name, rate in values["steps"].items()}
    return HomeRates(values["captions"], steps, values["per_caption"], values["samples"], values["pair_bytes"])


@cache
def published_rates() -> Mapping[str, Any]:
    """What others published; see the file."""
    values: dict[str, Any] = yaml.safe_load((DATA / "published_rates.yaml").read_text(encoding="utf-8"))
    return values


def _rows(here: HomeRates, recorded: HomeRates | None) -> tuple[str, Mapping[str, float], float | None]:
    """Where the rows for each caption are from, they themselves, and the samples for each caption."""
    if here.per_caption and here.samples and here.captions >= FEWEST_ROWS:
        return HERE, here.per_caption, here.samples
    if recorded is not None:
        return RECORDED, recorded.per_caption, recorded.samples
    paper = published_rates()["paper"]
    return PUBLISHED, paper["per_caption"], paper["samples"]


def _rate(
    name: str, step: Measurement, recipe: Recipe, here: HomeRates, recorded: HomeRates | None, card: str
) -> tuple[float | None, str, str]:
    """Seconds a row, where that is from, and what is to be said of it."""
    for source, rates in ((HERE, here), (RECORDED, recorded)):
        rate = rates.steps.get(name) if rates is not None else None
        if rate is not None and rate.rows >= (FEWEST_ROWS if source == HERE else 1):
            return rate.seconds / rate.rows, source, f"{counted(rate.rows, 'row')}, {rate.device}"
    role = step.roles[0]
    # An inpainter is a Stable Diffusion XL too.
    entries = published_rates()["rates"].get("pair_generator" if role == "inpainter" else role, ())
    entry = next((entry for entry in entries if entry["card"] in (card, "any")), None)
    if entry is None or recipe.role(role).model.startswith(MINIATURE_PREFIX):
        return None, UNKNOWN, ""
    return entry["seconds"] * _units(name, role, recipe, entry["each"]), PUBLISHED, f"{entry['source']}"


def _units(name: str, role: str, recipe: Recipe, each: str) -> float:
    """How many of what a published rate is about a row takes."""
    pictures = 2 * int(recipe.section("image_pairs").attempts)
    images = {"pair_generator": pictures, "segmenter": 2}.get(role, 1)
    if each.startswith("denoising step"):
        return images * int(getattr(recipe.role(role), "num_inference_steps", 1))
    return images if each == "image" else ANSWERS.get(name, 1)


def estimate_text(found: Estimate) -> str:
    """A line per measurement, then the sums."""
    return "\n".join(_lines(found))


def _lines(found: Estimate) -> Iterator[str]:
    samples = "" if found.samples is None else f", about {counted(round(found.samples), 'sample')}"
    captions = counted(round(found.captions), "caption")
    yield f"{captions} by the {found.recipe} recipe{samples}; shares are from: {found.rows_from}"
    yield ""
    yield f"{'measurement':<28}{'rows':>10}{'s a row':>10}{'hours':>9}  rate"
    for step in found.steps:
        rows = "" if step.rows is None else f"{step.rows:,.0f}"
        rate = "" if step.seconds_a_row is None else f"{step.seconds_a_row:.3g}"
        hours = "" if step.seconds is None else f"{step.seconds / 3600:,.2f}"
        yield f"{step.step:<28}{rows:>10}{rate:>10}{hours:>9}  {step.rate_from}".rstrip()
    yield ""
    cost = "" if found.price is None else f", {found.price * found.seconds / 3600:,.2f} at {found.price:g} an hour"
    disk = f"{bytes_text(found.image_bytes)} of images and {bytes_text(found.weight_bytes)} of weights"
    yield f"In all {hours_text(found.seconds)}{cost}; on the disk {disk}."
    if left_out := [step.step for step in found.steps if step.seconds is None]:
        yield f"Not known, and left out: {', '.join(left_out)}."
    for note in dict.fromkeys(step.note for step in found.steps if step.rate_from == PUBLISHED):
        yield f"published: {note}"


def hours_text(seconds: float) -> str:
    """`40 seconds`, `12 minutes`, `3.4 hours`."""
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    hours = seconds / 3600
    return f"{seconds / 60:.0f} minutes" if hours < 1.5 else f"{hours:,.{0 if hours >= 10 else 1}f} hours"
