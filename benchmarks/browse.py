"""How fast the pages of `imgdiff browse` are: `python -m benchmarks.browse [--regions N] [--json FILE]`.

The ledger is a real one, run by the miniature models over a few captions, and copied under other ids until
`bounding_boxes` has enough rows; the pairs of the gallery's first page have images of 1024 x 1024. Pages are asked of
the application in this process, without a network; every figure is the median of several, pages' beside what the first
took. What a reviewer and whoever drags a threshold wait for is measured in headless Chromium, from the key or the line
to what is seen.
"""

import argparse
import io
import json
import random
import shutil
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

from benchmarks.in_the_page import opened, served, threshold, told, verdicts
from imgdiff_assets.browser.app import create_app
from imgdiff_assets.browser.candidates import read_page
from imgdiff_assets.browser.plane import make_plane
from imgdiff_assets.browser.question import Question
from imgdiff_assets.browser.report import write_report
from imgdiff_assets.browser.site import CACHE, Site
from imgdiff_assets.cli.run_graph import run_graph
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.ingest_captions import ingest
from imgdiff_assets.ingest.shards import shard_keys
from imgdiff_assets.ledger.cells import IMAGE, CellReference
from imgdiff_assets.ledger.images import encode_png
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.places import parts_folder
from imgdiff_assets.ledger.tables import RECORD_KEY
from imgdiff_assets.reading.gathered import gather
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.release.contents import Contents, contents, write_contents
from imgdiff_assets.stages.graph import COMMON_NAMES as STAGE_NAMES
from imgdiff_assets.stages.graph import STAGES, stage_named
from imgdiff_assets.workbench.pages import PAGES
from resources.miniature.scenes import random_caption

CAPTIONS = 64
SIDE = 1024
REPEATS = 9
PAGE = 48
FIRST = "shard-000000"
VERDICTS = 20
QUEUES = ("random", "doubt")
DRAGGED = ("filtered_pairs.min_similarity", "bounding_boxes.min_match", "captions.min_match")


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
    images = parts_folder(ledger.root, asset, FIRST)
    if Path(images).is_dir():
        Path(parts_folder(ledger.root, asset, key)).symlink_to(images)


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
    _release_twice(home)
    before = psutil.Process().memory_info().rss
    started = time.perf_counter()
    site = Site(home, recipe, more=PAGES)
    site.index.refresh()
    opened = time.perf_counter() - started
    figures: dict[str, Any] = {
        "rows": {name: site.index.rows(f"SELECT count(*) AS n FROM {name}")[0]["n"] for name in STAGE_NAMES},
        "shards": len(site.index.shards()),
        "seconds_to_open": round(opened, 2),
        "mebibytes_of_memory": round((psutil.Process().memory_info().rss - before) / 2**20),
    }
    make_plane(site.index, "pca")
    deep = Question("bounding_boxes", "all", sort="bounding_boxes.region_similarity", after="0.9~8")
    sample = read_page(site.index, Question()).rows[0]
    with TestClient(create_app(site), base_url="http://localhost") as client:

        def get(path: str) -> Callable[[], Any]:
            return lambda: client.get(path).raise_for_status()

        figures["milliseconds"] = {
            "funnel and histograms": _asked(get("/")),
            "funnel of one shard": _asked(get(f"/?shard={FIRST}")),
            "gallery of samples": _asked(get("/gallery")),
            "gallery of all regions": _asked(get("/gallery?stage=bounding_boxes&verdict=all")),
            "gallery sorted by a score, deep inside": _asked(get(deep.address(after=deep.after))),
            "gallery filtered by object and by a pair's score": _asked(
                get(
                    "/gallery?stage=bounding_boxes&verdict=all&object=ball&score=filtered_pairs.image_similarity&low=0.9"
                )
            ),
            "a sample's story": _asked(get(f"/row/{sample['id']}")),
            "an id found by its beginning": _asked(get(f"/find?id={sample['id'][:10]}")),
            "next sample to review": _asked(get("/review?reviewer=Ann")),
            "certificate": _asked(get("/certificate")),
            "reviewers, and how far they are": _asked(get("/review")),
            "pairs that look like one": _asked(get(f"/gallery?stage=filtered_pairs&verdict=all&like={sample['id']}")),
            "points of the map, by kind": _asked(get("/map/points?coloured=kind")),
            "points of the map, by a score": _asked(get("/map/points?coloured=captions.match")),
            "gallery of a part of the map": _asked(get("/gallery?verdict=all&area=200,200,800,200,800,800,200,800")),
            "two releases compared": _asked(get("/releases?kind=changed")),
        }
        # Those that an earlier call on the same home drew.
        shutil.rmtree(home.local / CACHE, ignore_errors=True)
        pairs = [row["pair_id"] for row in read_page(site.index, Question()).rows]
        figures["milliseconds_per_thumbnail"] = {
            "drawn from 1024 x 1024": _once(lambda: [get(f"/thumbnail/{pair}")() for pair in pairs]) / len(pairs),
            "from the cache": _median(lambda: [get(f"/thumbnail/{pair}")() for pair in pairs]) / len(pairs),
        }
    figures["milliseconds_in_the_page"] = _in_the_page(site)
    figures["milliseconds_of_the_report"] = _once(lambda: write_report(home, recipe, home.root / "report.html"))
    return figures


def _release_twice(home: Home) -> None:
    """Two releases that tell of all samples, some of them otherwise; their pictures stay in the ledger."""
    if (home.releases / "2").exists():
        return
    ledger = Ledger(home.ledger)
    rows = [dict(row) for row in contents(ledger, STAGES, gather(ledger, shard_keys(home)), []).samples]
    for number, samples in ((1, rows[1:]), (2, [{**rows[1], "answer": "Something else."}, *rows[2:], rows[0]])):
        (home.releases / str(number)).mkdir(parents=True)
        write_contents(Contents({"number": number, "version": str(number)}, samples), home.releases / str(number))


def _in_the_page(site: Site) -> dict[str, dict[str, float]]:
    """By what is done, the median and the most."""
    found = {}
    with served(site) as address, opened() as page:
        for key in DRAGGED:
            section, _, setting = key.partition(".")
            limit = getattr(site.recipe.section(section), setting)
            values = [limit * (1 + step / 100) for step in (-9, -6, -3, 3, 6, 9, 0)]
            found[f"a threshold dragged: {key}"] = told(threshold(page, address, key, values))
        for queue in QUEUES:
            page.goto(f"{address}/review?reviewer={queue}&queue={queue}")
            found[f"a verdict, and the next sample seen: {queue}"] = told(verdicts(page, VERDICTS))
    return found


def _once(call: Callable[[], Any]) -> float:
    started = time.perf_counter()
    call()
    return round(1000 * (time.perf_counter() - started), 1)


def _asked(call: Callable[[], Any]) -> dict[str, float]:
    """What a page takes first, and the median when it is asked again: some of it is then remembered."""
    return {"first": _once(call), "median": _median(call)}


def _median(call: Callable[[], Any]) -> float:
    call()
    return statistics.median(_once(call) for _ in range(REPEATS))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--regions", type=int, default=100_000, help="rows of bounding_boxes")
    parser.add_argument("--home", type=Path, help="a folder to keep the home in, or that has it from an earlier call")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    arguments = parser.parse_args()
    recipe = load_recipe("miniature")
    with tempfile.TemporaryDirectory() as folder:
        root = arguments.home or Path(folder)
        home = Home(root / "home") if (root / "home").exists() else build_home(root, arguments.regions, recipe)
        figures = measure(home, recipe)
    print(f"{figures['shards']} shards; rows: " + ", ".join(f"{name} {n:,}" for name, n in figures["rows"].items()))
    print(f"opened in {figures['seconds_to_open']} s, {figures['mebibytes_of_memory']} MiB\n")
    for name, of in figures["milliseconds"].items():
        print(f"{name:<52}{of['median']:>10.1f} ms, first {of['first']:.1f}")
    for name, value in figures["milliseconds_per_thumbnail"].items():
        print(f"{name:<52}{value:>10.1f} ms")
    print(f"{'report of all shards':<52}{figures['milliseconds_of_the_report']:>10.1f} ms")
    for name, of in figures["milliseconds_in_the_page"].items():
        print(f"{name:<52}{of['median']:>10.1f} ms, at most {of['most']:.1f}")
    if arguments.json:
        command = f"python -m benchmarks.browse --regions {arguments.regions}"
        arguments.json.write_text(json.dumps({"command": command, **figures}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
