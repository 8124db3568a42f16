"""What the machinery costs beside the models: `python -m benchmarks.ledger [--json FILE]`.

Three parts, each in a process of its own, so that its peak memory is its own:

- rows: a stage whose measurement is one line of arithmetic, through the engine as it is; made first, judged again by
  another threshold, asked for again when nothing has changed;
- pairs: image pairs of 1024 x 1024 pixels that need not be drawn or encoded; made first, then copied into a new table
  because one of their prompt pairs has been rejected; encoding is timed apart;
- shards: all stages over many shards, all up to date: what is stale, the command `imgdiff run` with the start of
  Python, the catalog made anew, and a job of Dagster over the first hundred of them, as a click on Materialize starts
  it.

With `--store`, a fourth part instead of these: what a bucket costs beside a folder (`benchmarks/store_costs.py`).
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import psutil
import pyarrow as pa

from benchmarks.shards import clone_shards, run_command
from benchmarks.undrawn_pairs import SHARD, Clock, Figures, NoModels, pairs_without_drawing, prompt_pairs
from imgdiff_assets.common.aliases import Row
from imgdiff_assets.common.hashing import content_id
from imgdiff_assets.defs.catalog_index import rebuild
from imgdiff_assets.defs.dagster_instance import dagster_instance
from imgdiff_assets.defs.whole_graph import build_definitions
from imgdiff_assets.engine.materialize import materialize
from imgdiff_assets.engine.parents import Inputs
from imgdiff_assets.engine.staleness import Staleness
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.shards import shard_keys
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.filtered_pairs import FilteredPairsSettings
from imgdiff_assets.stages.graph import COMMON_NAMES as STAGE_NAMES
from imgdiff_assets.stages.stage import Above, Stage
from imgdiff_assets.stages.steps import Measurement, Work, at_least, below

SHARDS_OF_JOB = 100


def _items(tables: Mapping[str, pa.Table], settings: Mapping[str, Any]) -> pa.Table:
    return tables["captions"]


def _score(rows: Sequence[Row], work: Work) -> list[Row]:
    return [{"image_similarity": int(row["caption_id"][:6], 16) % 1000 / 1000} for row in rows]


ROW_STAGE = Stage(
    name="filtered_pairs",
    id_column="pair_id",
    parents=("captions",),
    above=(Above("captions", "caption_id"),),
    section=FilteredPairsSettings,
    description="arithmetic",
    item_columns=(pa.field("caption_id", pa.string()), pa.field("caption", pa.string())),
    items=_items,
    row_id=lambda row: content_id("pair", row["caption_id"]),
    steps=(
        Measurement("score", (pa.field("image_similarity", pa.float32()),), ("caption_id", "caption"), _score),
        at_least("too_different", "image_similarity", "min_similarity", "too small"),
        below("too_similar", "image_similarity", "max_similarity", "too large"),
    ),
)


def measure_rows(count: int) -> Figures:
    """The engine over one shard of `count` captions, without images."""
    recipe = load_recipe("miniature")
    limits = [FilteredPairsSettings(min_similarity=low, max_similarity=0.9) for low in (0.2, 0.3)]
    recipes = [recipe.model_copy(update={"filtered_pairs": limit}) for limit in limits]
    captions = pa.table(
        {
            "caption_id": [content_id(number) for number in range(count)],
            "caption": [f"a red ball and a blue cup on the sand, picture {number}" for number in range(count)],
            "kept": np.ones(count, dtype=bool),
        }
    )
    inputs, models, clock = Inputs("captions", lambda: {"captions": captions}), NoModels(recipe), Clock()
    before = psutil.Process().memory_info().rss
    for _ in range(5 if count <= 10_000 else 1):
        with tempfile.TemporaryDirectory() as folder:
            ledger = Ledger(Path(folder, "ledger"))
            for name, settings in (("first", recipes[0]), ("threshold", recipes[1]), ("up_to_date", recipes[1])):
                with clock.timed(name):
                    materialize(ROW_STAGE, SHARD, inputs, settings, ledger, models, name)
            size = ledger.table_path(ROW_STAGE.name, SHARD).stat().st_size
    memory = (_peak_memory() - before) / count
    sizes = {"memory_bytes_per_row": round(memory), "file_bytes_per_row": round(size / count)}
    return {"rows": count, **clock.figures(), **sizes}


def measure_pairs(count: int) -> Figures:
    """The engine over one shard of image pairs, and how long the encoding takes that is left out."""
    clock = Clock()
    stage, recipe, encoded = pairs_without_drawing(clock)
    before = psutil.Process().memory_info().rss
    with tempfile.TemporaryDirectory() as folder:
        for name, rejected in (("first", 0), ("rewritten", 1)):
            inputs = prompt_pairs(count, rejected)
            with clock.timed(name):
                materialize(stage, SHARD, inputs, recipe, Ledger(Path(folder, "ledger")), NoModels(recipe), name)
    sizes = {
        "megabytes_per_pair": round(2 * statistics.mean(encoded) / 1e6, 2),
        "memory_mib": round((_peak_memory() - before) / 2**20),
    }
    return {"pairs": count, **clock.figures(), **sizes}


def measure_shards(count: int) -> Figures:
    """A home with many shards in which there is nothing to do."""
    recipe, clock = load_recipe("miniature"), Clock()
    with tempfile.TemporaryDirectory() as folder:
        home = clone_shards(Path(folder), recipe, count)
        before = psutil.Process().memory_info().rss
        for _ in range(3):
            with clock.timed("what_is_stale"):
                staleness = Staleness(home, recipe, STAGE_NAMES)
                assert not any(staleness.stages(key) for key in shard_keys(home))
        for name in ("imgdiff_run_first", "imgdiff_run_second", *["imgdiff_run"] * 3):
            with clock.timed(name):
                run_command(home)
        keys = shard_keys(home)[:SHARDS_OF_JOB]
        with clock.timed(f"dagster_job_over_{len(keys)}"):
            _run_job(home, recipe, keys)
        for _ in range(3):
            with clock.timed("catalog_rebuild"):
                assert rebuild(home) == count * len(STAGE_NAMES)
        memory = (_peak_memory() - before) / 2**20
    return {"shards": count, "stages": len(STAGE_NAMES), **clock.figures(), "memory_mib": round(memory)}


def _run_job(home: Home, recipe: Recipe, keys: Sequence[str]) -> None:
    """Ask for the tables of all stages of a range of shards."""
    tags = {"dagster/asset_partition_range_start": keys[0], "dagster/asset_partition_range_end": keys[-1]}
    with dagster_instance(home) as instance:
        result = (
            build_definitions(home, recipe)
            .resolve_implicit_global_asset_job_def()
            .execute_in_process(
                instance=instance,
                asset_selection=[dg.AssetKey(name) for name in STAGE_NAMES],
                tags=tags,
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            )
        )
    assert result.success


def _peak_memory() -> int:
    """The most memory that this process has had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


PARTS = {"rows": measure_rows, "pairs": measure_pairs, "shards": measure_shards}


def _apart(part: str, count: int) -> Figures:
    """The figures of one part, measured by a process of its own."""
    command = [sys.executable, "-m", "benchmarks.ledger", "--here", part, str(count)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    figures: Figures = json.loads(output.splitlines()[-1])
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="*", default=[1_000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--pairs", type=int, nargs="*", default=[2_000])
    parser.add_argument("--shards", type=int, nargs="*", default=[1_000])
    parser.add_argument("--store", action="store_true", help="a bucket beside a folder, over --shards or none")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    parser.add_argument("--here", nargs=2, metavar=("PART", "COUNT"), help="one part, in this process")
    arguments = parser.parse_args()
    if arguments.here:
        part, count = arguments.here
        print(json.dumps(PARTS[part](int(count))))
        return
    results: dict[str, Any] = {}
    if arguments.store:
        from benchmarks.store_costs import measure_store

        results = measure_store(*arguments.shards[:1] or [None])
        print(json.dumps(results, indent=2))
    for part in PARTS if not arguments.store else ():
        for count in getattr(arguments, part):
            results.setdefault(part, []).append(_apart(part, count))
            print("\n".join(f"{name:38}{value:>14,.4g}" for name, value in results[part][-1].items()), flush=True)
    if arguments.json:
        command = f"python -m benchmarks.ledger {' '.join(sys.argv[1:])}"
        values = {"command": command, "processors": os.cpu_count(), **results}
        arguments.json.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
