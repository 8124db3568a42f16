"""A home with many shards that are all up to date, in the time of one: copies of it under other names.

Rows have other ids in each, as they have in a home of different captions.
"""

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from imgdiff_assets.cli.run_graph import run_graph
from imgdiff_assets.common.hashing import ID_LENGTH
from imgdiff_assets.engine.parents import read_inputs
from imgdiff_assets.engine.record import output_hash
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.ingest_captions import ingest
from imgdiff_assets.ledger.cells import PLACE
from imgdiff_assets.ledger.checksums import add_checksums
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.tables import RECORD_KEY
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import COMMON_STAGES
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
    for stage in (stage.under(recipe) for stage in COMMON_STAGES):
        table = pq.read_table(ledger.table_path(stage.name, first.stem), partitioning=None)
        record = ledger.record(stage.name, first.stem) or {}
        parts = ledger.parts(stage.name, first.stem).folder
        for number in range(1, count):
            key = f"shard-{number:06d}"
            path = Path(ledger.table_path(stage.name, key))
            path.parent.mkdir(parents=True)
            if parts.exists():
                shutil.copytree(parts, ledger.parts(stage.name, key).folder)
            rows = _with_ids_of(table, number)
            images = [field.name for field in rows.schema if field.type == PLACE]
            hashes = {
                "inputs_hash": read_inputs(stage, home, key, ledger).hash,
                "output_hash": output_hash(rows.drop_columns(images)),
            }
            line = json.dumps({**record, "shard": key, **hashes}, sort_keys=True)
            written = rows.replace_schema_metadata({RECORD_KEY: line})
            pq.write_table(written, path, compression="zstd", write_page_checksum=True)
            add_checksums(path)
            path.with_name("history.jsonl").write_text(line + "\n", encoding="utf-8")
    return home


def run_command(home: Home) -> None:
    """`imgdiff run` over a home in which nothing is to be done, as people give it."""
    command = [sys.executable, "-m", "imgdiff_assets.cli.main", "run", "--recipe", "miniature"]
    environment = {**os.environ, "IMGDIFF_HOME": str(home.root)}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert done.stdout.startswith("Nothing to do"), done.stdout


def _with_ids_of(table: pa.Table, number: int) -> pa.Table:
    """The same rows as those of another shard: the end of each id is its number."""
    for place, field in enumerate(table.schema):
        if field.name.endswith("_id") and field.name != "run_id" and field.type == pa.string():
            ids = pc.binary_replace_slice(table[field.name], ID_LENGTH - 6, ID_LENGTH, f"{number:06x}")
            table = table.set_column(place, field, ids)
    return table
