"""The set that the model is taught with: made by our graph from captions of the drawn world, and exported.

Homes of their own hold what was kept by the recipe as it is (`kept`), all candidates with every filter open (`all`),
and what is kept with erased regions (`removal`), or by other thresholds (`loose`, `strict`). The first is made by
models; the others begin as copies of it, so that of the pairs they have in common nothing is drawn anew. Half of the
answers to `same_or_different` are that nothing differs: each picture stands beside itself too, moved, lit otherwise or
recompressed.
"""

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks.teaches.model import Asked, small
from imgdiff_assets.recipe.editions import SHIPPED
from resources.miniature.scenes import random_caption

SEED = 2_100
CAPTIONS, SHARD = 1_200, 300
TASKS = ("difference", "which_image", "same_or_different")
QUESTIONS = {
    "difference": ["what is different ?"],
    "which_image": ["which image shows {subject} ?"],
    "same_or_different": ["same or different ?"],
}
"""In the words that the model knows; the images are clean, and no question says where to look."""

OPEN = (
    "filtered_pairs.min_similarity=-1",
    "filtered_pairs.max_similarity=1",
    "bounding_boxes.min_match=-1",
    "bounding_boxes.max_region_similarity=1",
    "captions.min_match=-1",
    "captions.max_caption_similarity=1",
    "captions.min_agreement=0",
    "fine_tune_set.min_match_margin=-2",
)
"""Every filter that judges how good a candidate is lets all pass."""

HOMES: dict[str, tuple[str, ...]] = {
    "kept": (),
    "all": OPEN,
    "removal": ("removed_pairs.enabled=true",),
    "loose": ("bounding_boxes.min_match=0", "captions.min_match=0"),
    "strict": ("bounding_boxes.min_match=0.6", "captions.min_match=0.85"),
}
"""The sets, each with what its recipe has otherwise than that of `kept`."""


def captions(count: int) -> list[str]:
    """Different captions, none of them held out, two in three of two objects."""
    rng, found = random.Random(SEED), dict[str, None]()
    while len(found) < count:
        found[random_caption(rng, rng.choice((1, 2, 2)))] = None
    return list(found)


def make(folder: Path, name: str = "kept") -> Path:
    """The set `name`, as `--format hf` writes it, made below `folder` unless it is there; returns its folder."""
    out = folder / "sets" / name
    if out.exists():
        return out
    home, recipe = folder / "homes" / name, folder / "recipe.yaml"
    if not recipe.exists():
        recipe.parent.mkdir(parents=True, exist_ok=True)
        recipe.write_text(yaml.safe_dump(recipe_values(), sort_keys=False), encoding="utf-8")
    if name == "kept":
        (folder / "captions.txt").write_text("\n".join(captions(CAPTIONS)) + "\n", encoding="utf-8")
        _imgdiff(home, "ingest", folder / "captions.txt", "--shard-size", SHARD, "--recipe", recipe)
    elif not home.exists():
        make(folder)
        shutil.copytree(folder / "homes" / "kept", home.with_suffix(".partial"), dirs_exist_ok=True)
        home.with_suffix(".partial").rename(home)
    changes = [word for change in HOMES[name] for word in ("--set", change)]
    _imgdiff(home, "run", "--recipe", recipe, *changes)
    _imgdiff(home, "export", "--format", "hf", "--clean", "--out", out)
    return out


def recipe_values() -> dict[str, Any]:
    """The miniature's recipe with our questions, and nothing held out: that is drawn apart."""
    values: dict[str, Any] = yaml.safe_load((SHIPPED / "miniature.yaml").read_text(encoding="utf-8"))
    values["name"] = "teaches"
    values["removed_pairs"]["enabled"] = False
    values["derived_pairs"] = {"nuisance": 1.0, "nuisance_ways": ["shifted", "relit", "recompressed"]}
    values["fine_tune_set"] = {"tasks": list(TASKS), "validation_fraction": 0.0, "questions": QUESTIONS}
    return values


def samples(folder: Path) -> list[tuple[str, str, Asked]]:
    """The training samples of an exported set, each after the names of its task and of its kind."""
    from datasets import load_dataset

    found = []
    for row in load_dataset(str(folder), split="train"):
        images = tuple(small(np.asarray(image.convert("RGB"))) for image in row["images"])
        found.append((row["task"], row["kind"], Asked(images, row["question"].lower(), row["answer"])))
    return found


def _imgdiff(home: Path, *words: object) -> None:
    """An `imgdiff` command on the home. Raises CalledProcessError."""
    environment: dict[str, str] = {**os.environ, "IMGDIFF_HOME": str(home.absolute())}
    command: Sequence[str] = [sys.executable, "-m", "imgdiff_assets.cli.main", *map(str, words)]
    subprocess.run(command, env=environment, check=True)
