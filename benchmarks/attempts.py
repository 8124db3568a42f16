"""What several attempts at a pair buy, and cost: pairs whose pictures are right, by how many were drawn of each.

    python -m benchmarks.attempts [--pairs N] [--most K] [--json FILE]

The miniature draws held-out prompt pairs with edit windows and guidance that vary; the best is chosen as
`image_pairs.best_by` does, and an independent judge says whether it is right.
"""

import json
import random
import time
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np

from benchmarks.judge import Judge
from benchmarks.pair_generator import edited_captions
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.stages.best_of import scores
from resources.image_text_encoder import ImageTextEncoder
from resources.pair_generator import PairGenerator

SEED = 7_000
BATCH = 20
VARIED: Sequence[dict[str, float]] = (
    {},
    {"self_replace_steps": 0.2},
    {"guidance_scale": 4.0},
    {"cross_replace_steps": 0.6, "self_replace_steps": 0.6},
)
WAYS = ("direction", "fit")


def measure(pairs: int, most: int) -> list[dict[str, float]]:
    """By attempts: the share of pairs that are right, chosen either way or if any were, and right pairs a second."""
    models, rng, judge = load_recipe("miniature").models, random.Random(SEED), Judge()
    generator, encoder = PairGenerator(models.pair_generator), ImageTextEncoder(models.image_text_encoder)
    prompts = [*edited_captions(rng, pairs // 2, 1), *edited_captions(rng, pairs - pairs // 2, 2)]
    right = np.zeros((most, pairs), bool)
    scored = {way: np.zeros((most, pairs), np.float32) for way in WAYS}
    seconds = np.zeros(most)
    for attempt in range(most):
        painter = generator.varied(**VARIED[attempt % len(VARIED)])
        for start in range(0, pairs, BATCH):
            rows = slice(start, start + BATCH)
            captions = tuple(list(side) for side in zip(*prompts[rows], strict=True))
            begun = time.process_time()
            images = painter.generate(*captions, [SEED * (attempt + 1) + row for row in range(len(captions[0]))])
            for way in WAYS:
                scored[way][attempt, rows] = scores(encoder, way, captions, images)
            seconds[attempt] += time.process_time() - begun
            right[attempt, rows] = [
                all(judge.judge(image).shows(text) for image, text in zip(both, texts, strict=True))
                for both, texts in zip(zip(*images, strict=True), prompts[rows], strict=True)
            ]
    curve = []
    for count in range(1, most + 1):
        chosen = {way: right[scored[way][:count].argmax(0), np.arange(pairs)].mean() for way in WAYS}
        spent = seconds[:count].sum()
        curve.append(
            {
                "attempts": count,
                **{f"right by {way}": float(share) for way, share in chosen.items()},
                "any right": float(right[:count].any(0).mean()),
                "seconds a pair": spent / pairs,
                "right pairs a second": max(chosen.values()) * pairs / spent,
            }
        )
    return curve


@click.command()
@click.option("--pairs", default=60, show_default=True, help="Prompt pairs to draw.")
@click.option("--most", default=4, show_default=True, help="Most attempts at each.")
@click.option("--json", "file", type=click.Path(dir_okay=False, path_type=Path), help="Also write the figures here.")
def main(pairs: int, most: int, file: Path | None) -> None:
    """Print the curve."""
    curve = measure(pairs, most)
    click.echo("\n".join("  ".join(f"{name} {value:.3g}" for name, value in row.items()) for row in curve))
    if file:
        file.write_text(json.dumps({"pairs": pairs, "curve": curve}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
