"""Image pairs that need not be drawn or encoded: what the engine and the ledger do with them is what is timed."""

import os
import random
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from imgdiff_assets.common.aliases import Pixels, Row
from imgdiff_assets.common.hashing import content_id
from imgdiff_assets.engine.loaded_models import LoadedModels
from imgdiff_assets.engine.parents import Inputs
from imgdiff_assets.ledger.images import encode_png, pixel_hash
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages import image_pairs
from imgdiff_assets.stages.stage import Stage
from imgdiff_assets.stages.steps import Work
from resources.miniature.scenes import draw_scene, parse_caption, random_caption

SHARD = "shard-000000"
SIDE = 1024
DIFFERENT_PAIRS = 8
PAIRS_PER_BATCH = 8
Figures = dict[str, float]


class Clock:
    """Wall and processor seconds of what is timed, by name; of processes that end meanwhile, too."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[tuple[float, float]]] = {}

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        wall, processor = time.perf_counter(), _processor_seconds()
        yield
        spent = time.perf_counter() - wall, _processor_seconds() - processor
        self.seconds.setdefault(name, []).append(spent)

    def figures(self) -> Figures:
        """Medians."""
        medians: Figures = {}
        for name, spent in self.seconds.items():
            medians[f"{name}_seconds"] = round(statistics.median(wall for wall, _ in spent), 4)
            medians[f"{name}_processor_seconds"] = round(statistics.median(processor for _, processor in spent), 4)
        return medians


def _processor_seconds() -> float:
    return sum(os.times()[:4])


class NoModels(LoadedModels):
    """A model that is asked for nothing."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__({"pair_generator": recipe.models.pair_generator}, {"pair_generator": lambda: None})

    def identity(self, role: str) -> dict[str, Any]:
        return self.settings(role).identity()

    def device(self, role: str) -> str:
        return "none"


def pairs_without_drawing(
    clock: Clock | None = None, different: int = DIFFERENT_PAIRS
) -> tuple[Stage, Recipe, list[int]]:
    """The stage that draws image pairs, handed some that were encoded before, which are timed; and their bytes."""
    recipe, clock = load_recipe("miniature"), clock or Clock()
    cells: list[Row] = []
    for seed in range(different):
        row: Row = {"seed": seed, "width": SIDE, "height": SIDE}
        for side in ("source", "target"):
            pixels = _picture(2 * seed + (side == "target"))
            with clock.timed("encoding_one_image"):
                data = encode_png(pixels, recipe.image_pairs.compression)
            row |= {f"{side}_hash": pixel_hash(pixels), f"{side}_image": {"bytes": data, "path": f"{seed}.png"}}
        cells.append(row)
    encoded = [len(row[name]["bytes"]) for row in cells for name in ("source_image", "target_image")]

    def drawn(rows: Sequence[Row], work: Work) -> list[Row]:
        return [_other_bytes(cells[int(row["pair_id"], 16) % different], row["pair_id"]) for row in rows]

    (generate,) = image_pairs.STAGE.measurements
    stage = replace(image_pairs.STAGE, steps=(replace(generate, run=drawn),))
    settings = recipe.models.pair_generator.model_copy(update={"batch_size": PAIRS_PER_BATCH})
    recipe = recipe.model_copy(update={"models": recipe.models.model_copy(update={"pair_generator": settings})})
    return stage, recipe, encoded


def prompt_pairs(count: int, rejected: int = 0) -> Inputs:
    """So many prompt pairs, of which the first ones are rejected."""
    columns: dict[str, Any] = {
        "pair_id": [content_id(number) for number in range(count)],
        "source_caption": ["a red ball on the sand"] * count,
        "target_caption": ["a red cup on the sand"] * count,
        "source_object": ["ball"] * count,
        "asked_kind": pa.nulls(count, pa.string()),
        "change_kind": pa.nulls(count, pa.string()),
        "kept": np.arange(count) >= rejected,
    }
    return Inputs(str(rejected), lambda: {"prompt_pairs": pa.table(columns)})


def _picture(seed: int) -> Pixels:
    """A drawn scene of the size that large models make, with ripples, so that it compresses about as a photograph."""
    rng = random.Random(seed)
    objects, background = parse_caption(random_caption(rng)) or ((), "sand")
    scene = Image.fromarray(draw_scene(rng, objects, background).image)
    large = np.asarray(scene.resize((SIDE, SIDE), Image.Resampling.BICUBIC), dtype=np.float32)
    x, y = np.meshgrid(np.arange(SIDE), np.arange(SIDE))
    ripples = np.stack([np.sin(x * y / (900 + 40 * channel) + seed) for channel in range(3)], axis=2)
    return np.clip(large + 5 * ripples, 0, 255).astype(np.uint8)


def _other_bytes(row: Row, name: str) -> Row:
    """The same images with a name behind their end, so that Parquet does not store equal bytes once."""
    cells = {key: {**row[key], "bytes": row[key]["bytes"] + name.encode()} for key in ("source_image", "target_image")}
    return {**row, **cells}
