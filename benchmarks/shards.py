"""A home with many shards that are all up to date, in the time of one: copies of it under other names."""

import json
import random
import shutil
from pathlib import Path

import pyarrow.parquet as pq

from imgdiff_assets.cli.run_graph import run_graph
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.ingest_captions import ingest
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.tables import RECORD_KEY
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import COMMON_NAMES as STAGE_NAMES
from resources.miniature.scenes import random_caption

CAPTIONS = 4


def clone_shards(root: Path, recipe: Recipe, count: int) -> Home:
    """Run all stages over a few captions; then give other shards the same captions and the same tables."""
    home = Home(root / "home")
    captions = root / "captions.txt"
    captions.write_text("\n".join(random_caption(random.Random(seed)) for seed in range(CAPTIONS)), encoding="utf-8")
    ingest([captions], home)
    if failures := run_graph(home, recipe).failures:
        raise SystemExit("\n".join(failures))
    (first,) = home.captions.glob("shard-*.parquet")
    ledger = Ledger(home.ledger)
    for number in range(1, count):
        key = f"shard-{number:06d}"
        first.with_stem(key).write_bytes(first.read_bytes())
    for asset in STAGE_NAMES:
        table = pq.read_table(ledger.table_path(asset, first.stem), partitioning=None)
        record = ledger.record(asset, first.stem)
        parts = ledger.parts(asset, first.stem).folder
        for number in range(1, count):
            key = f"shard-{number:06d}"
            path = ledger.table_path(asset, key)
            path.parent.mkdir(parents=True)
            if parts.exists():
                shutil.copytree(parts, ledger.parts(asset, key).folder)
            line = json.dumps({**(record or {}), "shard": key}, sort_keys=True)
            pq.write_table(table.replace_schema_metadata({RECORD_KEY: line}), path)
            path.with_name("history.jsonl").write_text(line + "\n", encoding="utf-8")
    return home
