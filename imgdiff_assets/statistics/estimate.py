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
from imgdiff_assets.stages.pair_methods import EDIT, PROMPT_TO_PROMPT, TEXT_PAIR
from imgdiff_assets.stages.steps import Measurement
from imgdiff_assets.statistics.measured_rates import HomeRates, StepRate, measured_rates
from resources.loading.settings import ModelSettings
from resources.loading.weights import MINIATURE_PREFIX

DATA = Path(__file__).parents[1] / "data"
HERE, RECORDED, PUBLISHED, UNKNOWN = "this home", "recorded", "published", "not known"
CARDS = ("H100", "A100", "L4")
FEWEST_ROWS = 10
"""Of a home's measurement with fewer rows, loading the model was most of the time."""

ANSWERS = {"captions.describe": 2}
"""Answers that a row of a measurement asks for, where they are more than one."""

GENERATED = "image_pairs.generate"
PICTURES: Mapping[str, Mapping[str, int]] = {
    PROMPT_TO_PROMPT: {"pair_generator": 2},
    EDIT: {"image_generator": 1, "editor": 1},
    TEXT_PAIR: {"image_generator": 2},
}
"""Pictures that each role makes of a pair, by the way it is made."""

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
    drawing = _drawing(recipe)
    own = all(recipe.role(role).model.startswith(MINIATURE_PREFIX) for role in drawing)
    recorded = recorded_rates() if own else None
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
    side = int(recipe.role(next(iter(drawing))).model_dump()["image_size"])
    pair_bytes = here.pair_bytes or 2 * side * side * IMAGE_BYTES_A_PIXEL
    return Estimate(
        recipe=recipe.name,
        captions=captions,
        samples=None if share is None else share * captions,
        steps=steps,
        rows_from=rows_from,
        image_bytes=pair_bytes * captions * per_caption.get(GENERATED, 1.0),
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
        if name == GENERATED and source == RECORDED and recipe.section("image_pairs").method != PROMPT_TO_PROMPT:
            continue  # what is recorded was drawn by Prompt-to-Prompt
        if rate is not None and rate.rows >= (FEWEST_ROWS if source == HERE else 1):
            return rate.seconds / rate.rows, source, f"{counted(rate.rows, 'row')}, {rate.device}"
    seconds, sources = 0.0, list[str]()
    for role, pictures in (
        _drawing(recipe).items() if name == GENERATED else [(step.roles[0], _pictures(step.roles[0]))]
    ):
        # An inpainter is a Stable Diffusion XL too.
        entries = published_rates()["rates"].get("pair_generator" if role == "inpainter" else role, ())
        entry = next((entry for entry in entries if entry["card"] in (card, "any")), None)
        if entry is None or recipe.role(role).model.startswith(MINIATURE_PREFIX):
            return None, UNKNOWN, ""
        attempts = int(recipe.section("image_pairs").attempts) if name == GENERATED else 1
        seconds += entry["seconds"] * _units(name, recipe.role(role), pictures * attempts, entry["each"])
        sources.append(entry["source"])
    return seconds, PUBLISHED, "; ".join(sources)


def _drawing(recipe: Recipe) -> Mapping[str, int]:
    """The roles that make a pair's pictures, and how many each, where no kind goes a way of its own."""
    return PICTURES[recipe.section("image_pairs").method]


def _pictures(role: str) -> int:
    """How many of a pair's pictures a role looks at for one row."""
    return 2 if role == "segmenter" else 1


def _units(name: str, settings: ModelSettings, images: int, each: str) -> float:
    """How many of what a published rate is about a row takes."""
    if each.startswith("denoising step"):
        return images * int(getattr(settings, "num_inference_steps", 1))
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
