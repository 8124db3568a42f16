"""How long each measurement of a home took, row by row, and how many of its rows a caption gave."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imgdiff_assets.home import Home
from imgdiff_assets.ingest.shards import read_captions
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.records import devices_at_once
from imgdiff_assets.ledger.store.store import size_of
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import SAMPLES, stages_of
from imgdiff_assets.stages.steps import Measurement
from resources.backends.choice import BESIDE_FIELDS


@dataclass(slots=True)
class StepRate:
    """What one measurement cost: `rows` in `seconds` of one device, loading its models included."""

    rows: int = 0
    seconds: float = 0.0
    device: str = ""


@dataclass(frozen=True, slots=True)
class HomeRates:
    """What a home tells of a recipe: by `stage.measurement`, its rate and its rows for each caption.

    `samples` are kept samples for each caption, and `pair_bytes` what an image pair takes on the disk; None where that
    is not known.
    """

    captions: int
    steps: Mapping[str, StepRate]
    per_caption: Mapping[str, float]
    samples: float | None
    pair_bytes: float | None


def measured_rates(home: Home, recipe: Recipe, shards: Sequence[str]) -> HomeRates:
    """Read from the records of the tables; a rate counts only where it was measured with the recipe's own models."""
    ledger, captions = Ledger(home.ledger), 0
    steps: dict[str, StepRate] = {}
    made = samples = pairs = size = 0
    for shard in shards:
        captions += len(read_captions(home, shard))
        for stage in stages_of(recipe):
            history = ledger.history(stage.name, shard)
            for step in stage.measurements:
                fitting = [line for line in history if _same_models(recipe, step, line)]
                # The time when all was measured: later ones only add what a threshold let in.
                line = max(fitting, key=lambda line: line["calls"].get(step.name, 0), default=None)
                if line is not None and (calls := line["calls"].get(step.name)):
                    rate = steps.setdefault(f"{stage.name}.{step.name}", StepRate())
                    rate.rows += calls
                    rate.seconds += line["step_seconds"].get(step.name, 0.0) * devices_at_once(line)
                    rate.device = ", ".join(sorted(set(line.get("devices", {}).values()))) or rate.device
        if ledger.exists("image_pairs", shard) and (record := ledger.record("image_pairs", shard)) is not None:
            pairs += record["rows"]
            size += size_of(ledger.table_path("image_pairs", shard))
        if (record := ledger.record(SAMPLES, shard)) is not None:
            made, samples = made + 1, samples + record["kept"]
    # What other models made says nothing of how many rows these would have.
    own = [f"{stage.name}.{step.name}" for stage in stages_of(recipe) for step in stage.measurements if step.roles]
    drawn = "image_pairs.generate" in steps
    whole = bool(captions) and made == len(shards) and drawn and len(steps.keys() & own) > len(own) / 2
    return HomeRates(
        captions=captions,
        steps=steps,
        per_caption={name: rate.rows / captions for name, rate in steps.items()} if whole else {},
        samples=samples / captions if whole else None,
        pair_bytes=size / pairs if pairs and drawn else None,
    )


def _same_models(recipe: Recipe, step: Measurement, record: Mapping[str, Any]) -> bool:
    """Whether a record's measurement was made by the recipe's models, whatever weights they had."""
    for role in step.roles:
        identity = record["models"].get(role)
        if identity is None:
            return False
        then = {name: value for name, value in identity.items() if name not in BESIDE_FIELDS}
        now = {name: value for name, value in recipe.role(role).identity().items() if name not in BESIDE_FIELDS}
        if then != now:
            return False
    return True
