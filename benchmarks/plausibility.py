"""How well the miniature's verifier tells malformed pictures from right ones, and what it costs in kept pairs.

    python -m benchmarks.plausibility [--count N] [--json FILE]

The malformed pictures are planted on scenes that no training shows, one object each; so are the right ones. What the
threshold costs is measured on pairs that the pair generator draws, of which an independent judge says which are right.
"""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from benchmarks.judge import Judge
from benchmarks.judging_models import area_under_curve
from benchmarks.measurement import Measurement, table
from benchmarks.pair_generator import edited_captions
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from resources.loading.weights import MINIATURE_FOLDER
from resources.miniature.malformed import LEARNED, UNSEEN, Malformation, draw_malformed
from resources.miniature.pictures import Pixels, reconstruct
from resources.pair_generator import PairGenerator
from resources.verifier import Verifier, VerifierSettings

SEED = 6_000
BATCH = 20
THRESHOLDS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
MINIATURE = VerifierSettings(model="miniature:verifier", batch_size=64)

Scores = NDArray[np.float32]


def planted(how: Malformation, count: int) -> tuple[Pixels, Pixels]:
    """Scenes with held-out contents, right and malformed, (2, `count`, H, W, 3): as drawn, as reconstructed."""
    rng = random.Random(SEED)
    scenes = [draw_malformed(rng, how, held_out=True) for _ in range(count)]
    drawn = np.stack([[scene.image for scene, _ in scenes], [malformed for _, malformed in scenes]])
    return drawn, reconstruct(drawn, MINIATURE_FOLDER / "pair_generator" / "vae")


def judged(verifier: Verifier, images: Sequence[NDArray[np.uint8]]) -> Scores:
    """The verifier's score of each image."""
    return np.array(verifier.judge([[image] for image in images], [""] * len(images)), dtype=np.float32)


def measure(settings: VerifierSettings, count: int) -> list[Measurement]:
    """Malformed below right pictures, for each way of being malformed, as drawn and as the autoencoder paints them."""
    verifier, measurements = Verifier(settings), []
    goals: dict[str, float] = {**dict.fromkeys(LEARNED, 0.95), **dict.fromkeys(UNSEEN, 0.9)}
    for name, how in {**LEARNED, **UNSEEN}.items():
        right, wrong = zip(
            *((judged(verifier, view[0]), judged(verifier, view[1])) for view in planted(how, count)), strict=True
        )
        separation = area_under_curve(np.concatenate(right), np.concatenate(wrong))
        what = f"{name}{', never trained on' if name in UNSEEN else ''}: right above malformed, AUC"
        measurements.append(Measurement("verifier", what, separation, goals[name], unit=""))
    return measurements


def generated(count: int) -> tuple[Scores, NDArray[np.bool_]]:
    """Of pairs that the shipped generator draws: the lower of the two scores, and whether both pictures are right."""
    rng, judge, verifier = random.Random(SEED), Judge(), Verifier(MINIATURE)
    generator = PairGenerator(load_recipe("miniature").models.pair_generator)
    prompts = [*edited_captions(rng, count // 2, 1), *edited_captions(rng, count - count // 2, 2)]
    scores, right = [], []
    for start in range(0, count, BATCH):
        batch = prompts[start : start + BATCH]
        seeds = list(range(SEED + start, SEED + start + len(batch)))
        sides = generator.generate([source for source, _ in batch], [target for _, target in batch], seeds)
        scores.append(np.minimum(*(judged(verifier, list(images)) for images in sides)))
        right += [
            all(judge.judge(image).shows(caption) for image, caption in zip(images, captions, strict=True))
            for *images, captions in zip(*sides, batch, strict=True)
        ]
    return np.concatenate(scores), np.array(right)


def survival(count: int) -> list[dict[str, float]]:
    """By threshold: the share of malformed pictures that it rejects, and of the generator's right and wrong pairs."""
    verifier = Verifier(MINIATURE)
    wrong = np.concatenate([judged(verifier, planted(how, count // 4)[1][1]) for how in LEARNED.values()])
    scores, right = generated(count)
    return [
        {
            "threshold": limit,
            "malformed rejected": float((wrong < limit).mean()),
            "right pairs kept": float((scores[right] >= limit).mean()),
            "wrong pairs kept": float((scores[~right] >= limit).mean()) if not right.all() else 1.0,
            "right among the kept": float(right[scores >= limit].mean()) if (scores >= limit).any() else 1.0,
        }
        for limit in THRESHOLDS
    ]


def curve_table(rows: Sequence[dict[str, float]]) -> str:
    """The curve as a Markdown table, in percent."""
    names = list(rows[0])
    lines = [f"| {' | '.join(names)} |", f"|{'---|' * len(names)}"]
    for row in rows:
        lines.append(f"| {row['threshold']:g} | {' | '.join(f'{100 * row[name]:.1f} %' for name in names[1:])} |")
    return "\n".join(lines)


@click.command()
@click.option(
    "--count", default=200, show_default=True, help="Scenes of each way of being malformed, and pairs drawn."
)
@click.option("--json", "file", type=click.Path(dir_okay=False, path_type=Path), help="Also write the figures here.")
def main(count: int, file: Path | None) -> None:
    """Print how well the verifier tells right from malformed, and its survival curve."""
    measurements, curve = measure(MINIATURE, count), survival(count)
    click.echo(f"{table(measurements)}\n\n{curve_table(curve)}")
    if file:
        found: dict[str, Any] = {"count": count, "auc": {one.what: one.value for one in measurements}, "curve": curve}
        file.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
