"""What derived pairs buy: kept samples of as many drawn pairs, and how many of them are right.

    python -m benchmarks.derived [--captions 20] [--rewrites 3] [--json FILE]

Held-out captions of the drawn world go through all stages, once as they always did and once with
`image_pairs.seed_by: caption`, `derived_pairs.inverse` and `derived_pairs.siblings`: each with the same rewrites, so
that the generator draws as much. An independent judge says of both pictures of each kept `difference` sample what
stands in its box, and so whether the answer is right.
"""

import json
import random
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.judge import Judge, Verdict
from imgdiff_assets.common.aliases import Pixels
from imgdiff_assets.engine.loaded_models import LoadedModels
from imgdiff_assets.engine.materialize import materialize
from imgdiff_assets.engine.parents import read_inputs
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.ingest_captions import ingest
from imgdiff_assets.ingest.shards import shard_keys
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.method.regions import iou
from imgdiff_assets.reading.samples import Sample, SampleImages, read_samples
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import stages_of
from imgdiff_assets.statistics.certificate import wilson
from resources.miniature.scenes import caption, random_content

SEED = 9_000
AS_BEFORE = ("removed_pairs.enabled=false",)
DERIVED = (
    *AS_BEFORE,
    "image_pairs.seed_by=caption",
    "derived_pairs={}",
    "derived_pairs.inverse=true",
    "derived_pairs.siblings=true",
)
WAYS = {"as before": AS_BEFORE, "with derived pairs": DERIVED}


@dataclass(frozen=True, slots=True)
class Yield:
    """What came of the captions: seconds of the generator and of all stages, samples, and the share that is right."""

    generator_seconds: float
    seconds: float
    pairs_drawn: int
    samples: int
    right: int
    precision: float
    interval: tuple[float, float]


def written(folder: Path, count: int) -> Path:
    """A file of held-out captions, half of them of two objects."""
    rng = random.Random(SEED)
    captions = {caption(*random_content(rng, 1 + number % 2, held_out=True)) for number in range(2 * count)}
    file = folder / "captions.txt"
    file.write_text("\n".join(sorted(captions)[:count]) + "\n", encoding="utf-8")
    return file


def run(file: Path, root: Path, recipe: Recipe) -> tuple[Home, str, dict[str, Any]]:
    """All stages over the captions; the home, its shard, and the record of each stage."""
    home = Home(root)
    ingest([file], home)
    (shard,) = shard_keys(home)
    models, ledger = LoadedModels.shared(recipe.roles), Ledger(home.ledger)
    records = {}
    for stage in stages_of(recipe):
        inputs = read_inputs(stage, home, shard)
        records[stage.name] = materialize(stage, shard, inputs, recipe, ledger, models, "derived")
    return home, shard, records


def is_right(judge: Judge, sample: Sample, images: Sequence[Pixels]) -> bool:
    """Whether the answer names what stands in the box in each picture, the left one's first, and that differs."""
    said = []
    for image in images:
        found = standing(judge.judge(image), sample.box)
        if found is None:
            return False
        said.append(found)
    place, last = sample.answer.lower().find(said[0]), sample.answer.lower().rfind(said[1])
    return said[0] != said[1] and 0 <= place < last


def standing(verdict: Verdict, box: tuple[float, ...] | None) -> str | None:
    """Colour and name of the object that fills most of a box."""
    if box is None or not verdict.objects:
        return None
    overlaps = iou(np.array([box]), np.array([found.box for found in verdict.objects], dtype=np.float64))[0]
    best = verdict.objects[int(overlaps.argmax())]
    return f"{best.thing.colour} {best.thing.name}" if overlaps.max() >= 0.5 else None


def measure(count: int, rewrites: int) -> dict[str, Yield]:
    """By way: what came of it."""
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        file = written(Path(folder), count)
        for way, changes in WAYS.items():
            recipe = load_recipe("miniature", [f"prompt_pairs.attempts={rewrites}", *changes])
            home, shard, records = run(file, Path(folder) / way.replace(" ", "_"), recipe)
            results[way] = judged(home, shard, records)
    return results


def judged(home: Home, shard: str, records: dict[str, Any]) -> Yield:
    """Counts, times and the judge's verdicts."""
    ledger, judge = Ledger(home.ledger), Judge()
    samples = [sample for sample in read_samples(ledger, shard) if sample.task == "difference"]
    images = SampleImages(ledger, shard)
    right = sum(is_right(judge, sample, [images(image) for image in sample.shown.images]) for sample in samples)
    images.close()
    return Yield(
        generator_seconds=records["image_pairs"].step_seconds["generate"],
        seconds=sum(record.seconds for record in records.values()),
        pairs_drawn=records["image_pairs"].measured,
        samples=len(samples),
        right=right,
        precision=right / max(len(samples), 1),
        interval=wilson(right, len(samples)),
    )


@click.command()
@click.option("--captions", default=20, show_default=True, help="Captions to begin with.")
@click.option("--rewrites", default=3, show_default=True, help="Rewrites of each.")
@click.option("--json", "file", type=click.Path(dir_okay=False, path_type=Path), help="Also write the figures here.")
def main(captions: int, rewrites: int, file: Path | None) -> None:
    """Print what came of both ways, and how they compare."""
    results = measure(captions, rewrites)
    for way, found in results.items():
        low, high = found.interval
        click.echo(
            f"{way}: {found.pairs_drawn} pairs drawn in {found.generator_seconds:.1f} s of the generator, "
            f"{found.samples} samples (all stages {found.seconds:.0f} s), {found.precision:.1%} right "
            f"(95 % interval {low:.1%} to {high:.1%})"
        )
    before, after = (results[way] for way in WAYS)
    more = after.samples / before.samples
    click.echo(f"{more:.2f} times the samples of as many drawn pairs")
    if file:
        found = {way: asdict(one) for way, one in results.items()}
        told = {"captions": captions, "rewrites": rewrites, "ways": found, "times the samples": more}
        file.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
