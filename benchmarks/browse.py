"""How fast the pages of `imgdiff browse` are: `python -m benchmarks.browse [--regions N] [--json FILE]`.

The ledger is a real one, run by the miniature models over a few captions, and copied under other ids until
`bounding_boxes` has enough rows; the pairs of the gallery's first page have images of 1024 x 1024. Pages are asked of
the application in this process, without a network; every figure is the median of several.
"""

import argparse
import io
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from starlette.testclient import TestClient

from imgdiff_assets.browser.app import create_app
from imgdiff_assets.browser.candidates import read_page
from imgdiff_assets.browser.question import Question
from imgdiff_assets.browser.report import write_report
from imgdiff_assets.browser.site import Site
from imgdiff_assets.cli.run_graph import run_graph
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.ingest_captions import ingest
from imgdiff_assets.ledger.cells import IMAGE, CellReference
from imgdiff_assets.ledger.images import encode_png
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.tables import RECORD_KEY
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import COMMON_NAMES as STAGE_NAMES
from imgdiff_assets.stages.graph import stage_named
from resources.miniature.scenes import random_caption

CAPTIONS = 64
SIDE = 1024
REPEATS = 9
PAGE = 48
FIRST = "shard-000000"


def build_home(root: Path, regions: int, recipe: Recipe) -> Home:
    """A home with at least `regions` rows in `bounding_boxes`, and in the other tables what goes with them."""
    home, captions = Home(root / "home"), root / "captions.txt"
    captions.write_text("\n".join(random_caption(random.Random(seed)) for seed in range(CAPTIONS)), encoding="utf-8")
    ingest([captions], home)
    run_graph(home, recipe)
    ledger = Ledger(home.ledger)
    copies = -(-regions // ledger.read("bounding_boxes", FIRST).num_rows)
    for number in range(1, copies):
        key = f"shard-{number:06d}"
        table = pq.read_table(home.captions / f"{FIRST}.parquet", partitioning=None)
        pq.write_table(_renamed(table, number), home.captions / f"{key}.parquet")
        for asset in STAGE_NAMES:
            _copy(ledger, asset, key, number)
    _enlarge(ledger)
    return home


def _copy(ledger: Ledger, asset: str, key: str, number: int) -> None:
    """The first shard's table under other ids, with its record, in row groups of the same sizes."""
    path = ledger.table_path(asset, key)
    path.parent.mkdir(parents=True)
    record = json.dumps({**(ledger.record(asset, FIRST) or {}), "shard": key}, sort_keys=True)
    with pq.ParquetFile(ledger.table_path(asset, FIRST)) as file:
        schema = file.schema_arrow.with_metadata({RECORD_KEY: record})
        with pq.ParquetWriter(path, schema, compression="zstd") as writer:
            for group in range(file.num_row_groups):
                table = _renamed(file.read_row_group(group), number)
                writer.write_table(table.replace_schema_metadata(schema.metadata), row_group_size=len(table) or 1)
    path.with_name("history.jsonl").write_text(record + "\n", encoding="utf-8")


def _renamed(table: pa.Table, number: int) -> pa.Table:
    """All ids end in the copy's number."""
    for place, name in enumerate(table.column_names):
        if name.endswith("_id") and name != "run_id":
            ids = [None if value is None else f"{value[:-4]}{number:04x}" for value in table[name].to_pylist()]
            table = table.set_column(place, table.schema.field(name), pa.array(ids, pa.string()))
    return table


def _enlarge(ledger: Ledger) -> None:
    """Larger images for the pairs of the gallery's first page: no smoother than photographs are."""
    stage, path = stage_named("image_pairs"), ledger.table_path("image_pairs", FIRST)
    shown = set(ledger.read("fine_tune_set", FIRST)["pair_id"].to_pylist()[: 2 * PAGE])
    table = ledger.read("image_pairs", FIRST, images=True)
    noise = np.random.default_rng(0)
    for name in ("source_image", "target_image"):
        cells = table[name].to_pylist()
        for place, pair in enumerate(table["pair_id"].to_pylist()):
            if pair in shown and cells[place]:
                cells[place] = {"bytes": _enlarged(cells[place]["bytes"], noise), "path": cells[place]["path"]}
        table = table.set_column(table.column_names.index(name), name, pa.array(cells, IMAGE))
    references = [CellReference(path, number) for number in range(len(table))]
    ledger.commit("image_pairs", FIRST, stage.schema, table, references, ledger.record("image_pairs", FIRST) or {})


def _enlarged(data: bytes, noise: np.random.Generator) -> bytes:
    with Image.open(io.BytesIO(data)) as image:
        pixels = np.asarray(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC), dtype=np.int16)
    return encode_png(np.clip(pixels + noise.normal(0, 2, pixels.shape), 0, 255).astype(np.uint8), 1)


def measure(home: Home, recipe: Recipe) -> dict[str, Any]:
    """Milliseconds of each page, and seconds and MiB of opening the ledger."""
    before = psutil.Process().memory_info().rss
    started = time.perf_counter()
    site = Site(home, recipe)
    site.index.refresh()
    opened = time.perf_counter() - started
    figures: dict[str, Any] = {
        "rows": {name: site.index.rows(f"SELECT count(*) AS n FROM {name}")[0]["n"] for name in STAGE_NAMES},
        "shards": len(site.index.shards()),
        "seconds_to_open": round(opened, 2),
        "mebibytes_of_memory": round((psutil.Process().memory_info().rss - before) / 2**20),
    }
    deep = Question("bounding_boxes", "all", sort="bounding_boxes.region_similarity", after="0.9~8")
    sample = read_page(site.index, Question()).rows[0]
    with TestClient(create_app(site), base_url="http://localhost") as client:

        def get(path: str) -> Callable[[], Any]:
            return lambda: client.get(path).raise_for_status()

        figures["milliseconds"] = {
            "funnel and histograms": _median(get("/")),
            "funnel of one shard": _median(get(f"/?shard={FIRST}")),
            "gallery of samples": _median(get("/gallery")),
            "gallery of all regions": _median(get("/gallery?stage=bounding_boxes&verdict=all")),
            "gallery sorted by a score, deep inside": _median(get(deep.address(after=deep.after))),
            "gallery filtered by object and by a pair's score": _median(
                get(
                    "/gallery?stage=bounding_boxes&verdict=all&object=ball&score=filtered_pairs.image_similarity&low=0.9"
                )
            ),
            "a sample's story": _median(get(f"/row/{sample['id']}")),
            "an id found by its beginning": _median(get(f"/find?id={sample['id'][:10]}")),
            "next sample to review": _median(get("/review?reviewer=Ann")),
            "certificate": _median(get("/certificate")),
        }
        pairs = [row["pair_id"] for row in read_page(site.index, Question()).rows]
        figures["milliseconds_per_thumbnail"] = {
            "drawn from 1024 x 1024": _once(lambda: [get(f"/thumbnail/{pair}")() for pair in pairs]) / len(pairs),
            "from the cache": _median(lambda: [get(f"/thumbnail/{pair}")() for pair in pairs]) / len(pairs),
        }
    figures["milliseconds"]["report of all shards"] = _once(
        lambda: write_report(home, recipe, home.root / "report.html")
    )
    return figures


def _once(call: Callable[[], Any]) -> float:
    started = time.perf_counter()
    call()
    return round(1000 * (time.perf_counter() - started), 1)


def _median(call: Callable[[], Any]) -> float:
    call()
    return statistics.median(_once(call) for _ in range(REPEATS))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--regions", type=int, default=100_000, help="rows of bounding_boxes")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    arguments = parser.parse_args()
    recipe = load_recipe("miniature")
    with tempfile.TemporaryDirectory() as folder:
        home = build_home(Path(folder), arguments.regions, recipe)
        figures = measure(home, recipe)
    print(f"{figures['shards']} shards; rows: " + ", ".join(f"{name} {n:,}" for name, n in figures["rows"].items()))
    print(f"opened in {figures['seconds_to_open']} s, {figures['mebibytes_of_memory']} MiB\n")
    for name, value in {**figures["milliseconds"], **figures["milliseconds_per_thumbnail"]}.items():
        print(f"{name:<52}{value:>10.1f} ms")
    if arguments.json:
        command = f"python -m benchmarks.browse --regions {arguments.regions}"
        arguments.json.write_text(json.dumps({"command": command, **figures}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
