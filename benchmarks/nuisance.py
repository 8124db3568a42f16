"""How often nothing is told to differ where pixels do and content does not, and what is told where content does.

    python -m benchmarks.nuisance [--count 40] [--seed 0] [--set stage.key=value ...]

Drawn scenes, each beside itself: shifted by a few pixels, cropped, lit otherwise, recompressed, taken through the
autoencoder of the pair generator; beside a scene in which one object was replaced; and beside such a one that is
shifted too. They go through all stages between images and samples as pairs that were given, which name no objects,
under the miniature's rules, under those with `filtered_pairs.alignment`, and with `derived_pairs.registered` beside
it. A pair yields a *difference* where any of its regions, or of those of the pair registered, is kept by `captions`.

Specificity is the share of pairs without a difference that yield none, sensitivity the share of replaced ones that
yield one. d' is how many standard deviations lie between the two, whatever the threshold; of a share of 0 or 1 it goes
by half a pair more or less.
"""

import argparse
import io
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import NormalDist

import numpy as np
import torch
from PIL import Image

from benchmarks.alignment import surrounded
from benchmarks.quality import SHARD, STAGES, DrawnPair, draw, open_models, run_stages, write_parents
from imgdiff_assets.common.aliases import Pixels
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.images import decode
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.recipe.overrides import override_recipe
from imgdiff_assets.recipe.recipe import Recipe
from resources.miniature.scenes import IMAGE_SIZE, draw_scene, random_content
from resources.pair_generator import PairGenerator

ALIGNED = ("filtered_pairs.alignment={}",)
RULES: dict[str, tuple[str, ...]] = {
    "recipe as shipped": (),
    "with alignment": ALIGNED,
    "registered": (*ALIGNED, "derived_pairs={}", "derived_pairs.registered=true"),
}
STAGES_RUN = ("derived_pairs", *STAGES)
REPLACED, BOTH = "replaced", "replaced and shifted"
FARTHEST = 3
"""Pixels by which windows are shifted, and edges cropped: of 64, as 48 are of 1024."""

Way = Callable[[Pixels, random.Random], Pixels]
"""A scene with its surroundings, and what it becomes, of the size of a scene."""


def window(picture: Pixels, x: int = 0, y: int = 0, less: int = 0) -> Pixels:
    """The scene in the middle of a picture; moved, or with so many pixels less on every side, and as large again."""
    left, top = ((side - IMAGE_SIZE) // 2 + by + less for side, by in zip(picture.shape[1::-1], (x, y), strict=True))
    size = IMAGE_SIZE - 2 * less
    cut = Image.fromarray(picture).crop((left, top, left + size, top + size))
    return np.asarray(cut.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BICUBIC))


def shifted(picture: Pixels, rng: random.Random) -> Pixels:
    x, y = rng.choice(
        [(x, y) for x in range(-FARTHEST, FARTHEST + 1) for y in range(-FARTHEST, FARTHEST + 1) if x or y]
    )
    return window(picture, x, y)


def cropped(picture: Pixels, rng: random.Random) -> Pixels:
    return window(picture, less=rng.randint(1, FARTHEST))


def relit(picture: Pixels, rng: random.Random) -> Pixels:
    gain = 1 + rng.choice([-1, 1]) * rng.uniform(0.03, 0.1)
    return np.clip(window(picture) * gain, 0, 255).round().astype(np.uint8)


def recompressed(picture: Pixels, rng: random.Random) -> Pixels:
    buffer = io.BytesIO()
    Image.fromarray(window(picture)).save(buffer, format="JPEG", quality=rng.randint(50, 90))
    return decode(buffer.getvalue())


class RoundTrip:
    """Into the latent space of the miniature's pair generator, and back."""

    def __init__(self, recipe: Recipe) -> None:
        self._vae = PairGenerator(recipe.models.pair_generator).pipeline.vae

    @torch.inference_mode()
    def __call__(self, picture: Pixels, rng: random.Random) -> Pixels:
        pixels = torch.from_numpy(window(picture).copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
        seen = self._vae.decode(self._vae.encode(pixels).latent_dist.mode()).sample[0]
        values = ((seen.permute(1, 2, 0).clamp(-1, 1) + 1) * 127.5).round()
        return np.asarray(values.numpy(), dtype=np.uint8)


def draw_pairs(count: int, seed: int, ways: dict[str, Way]) -> list[DrawnPair]:
    """`count` pairs of each way, as many in which one object was replaced, and as many that were shifted besides."""
    rng = random.Random(seed)
    pairs = []
    for name, way in ways.items():
        for _ in range(count):
            scene = draw_scene(rng, *random_content(rng))
            around = surrounded(scene.image)
            scenes = scene, replace(scene, image=way(around, rng))
            pairs.append(DrawnPair(name, scenes, (None, None), None, scene.boxes.astype(np.float64)))
    for _ in range(count):
        pairs.append(replace(draw(rng, REPLACED), claim=(None, None)))
    for _ in range(count):
        pair = draw(rng, REPLACED)
        moved = replace(pair.scenes[1], image=shifted(surrounded(pair.scenes[1].image), rng))
        pairs.append(replace(pair, kind=BOTH, scenes=(pair.scenes[0], moved), claim=(None, None)))
    return pairs


def d_prime(told: int, of_different: int, false: int, of_same: int) -> float:
    """The distance of two shares in standard deviations."""

    def place(count: int, total: int) -> float:
        return NormalDist().inv_cdf(min(max(count, 0.5), total - 0.5) / total)

    return place(told, of_different) - place(false, of_same)


def measure(count: int, seed: int, overrides: Sequence[str] = ()) -> dict[str, dict[str, float]]:
    """By rules and kind the share of pairs that yield a difference; beside them specificity, sensitivity and d'."""
    recipe = load_recipe("miniature", overrides)
    ways: dict[str, Way] = {
        "shifted": shifted,
        "cropped": cropped,
        "relit": relit,
        "recompressed": recompressed,
        "round trip": RoundTrip(recipe),
    }
    pairs, models = draw_pairs(count, seed, ways), open_models(recipe)
    results: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        kinds = dict(zip(write_parents(home, pairs), (pair.kind for pair in pairs), strict=True))
        for rules, changes in RULES.items():
            run_stages(home, override_recipe(recipe, changes), models, STAGES_RUN)
            ledger = Ledger(home.ledger)
            rows = ledger.read("captions", SHARD).to_pylist()
            if ledger.exists("derived_pairs", SHARD):
                derived = ledger.read("derived_pairs", SHARD).to_pylist()
                kinds |= {row["pair_id"]: kinds[row["derived_from"]] for row in derived}
            told = Counter(kinds[pair_id] for pair_id in {row["pair_id"] for row in rows if row["kept"]})
            false, same = sum(told[name] for name in ways), count * len(ways)
            results[rules] = {name: told[name] / count for name in (*ways, REPLACED, BOTH)} | {
                "specificity": 1 - false / same,
                "sensitivity": told[REPLACED] / count,
                "d'": d_prime(told[REPLACED], count, false, same),
            }
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=40, help="pairs of each kind (40)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the drawn pairs (0)")
    parser.add_argument("--set", action="append", default=[], metavar="STAGE.KEY=VALUE", help="override the recipe")
    arguments = parser.parse_args()
    for rules, shares in measure(arguments.count, arguments.seed, arguments.set).items():
        print(f"{rules}: " + ", ".join(f"{name} {share:.3g}" for name, share in shares.items()))


if __name__ == "__main__":
    main()
