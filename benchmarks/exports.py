"""How much memory an export takes, by how many large pictures there are: they must not all be in it at once.

Each export is a process of its own, over a home of one shard whose pictures are noise of about three megabytes.
Results: `python -m benchmarks.exports --json benchmarks/results/exports.json`.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from imgdiff_assets.export.exporting import export
from imgdiff_assets.export.formats import formats
from imgdiff_assets.export.options import Options
from imgdiff_assets.ledger.images import encode_png, pixel_hash
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.tables import IMAGE_ROWS_PER_GROUP
from imgdiff_assets.method.conversations import conversation
from imgdiff_assets.stages.graph import stage_named

SHARD = "shard-000000"
SIDE = 1_024
NAMES = ("hf", "webdataset", "llava")
MEBIBYTE = 2**20


def make_home(ledger: Ledger, pairs: int) -> None:
    """A shard of `pairs` pairs with a sample each; what no export reads is null."""
    rng = np.random.default_rng(0)
    described, samples = [], []
    schema = stage_named("image_pairs").schema
    path = ledger.table_path("image_pairs", SHARD)
    path.parent.mkdir(parents=True)
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, pairs, IMAGE_ROWS_PER_GROUP):
            group = []
            for number in range(start, min(pairs, start + IMAGE_ROWS_PER_GROUP)):
                row = {"pair_id": f"{number:016x}", "kept": True, "width": SIDE, "height": SIDE}
                for side in ("source", "target"):
                    pixels = rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
                    row[f"{side}_hash"] = pixel_hash(pixels)
                    row[f"{side}_image"] = {"bytes": encode_png(pixels, 0), "path": f"{side}.png"}
                group.append(row)
                known = {name: row[name] for name in ("pair_id", "source_hash", "target_hash", "width", "height")}
                known |= {"region_id": f"{number:016x}", "kept": True, "x1": 9.0, "y1": 9.0, "x2": 99.0, "y2": 99.0}
                described.append(known)
                talk = {"answer": "Noise.", "conversations": conversation("What is it?", "Noise.")}
                about = {"task": "difference", "first": "source", "split": "train", "caption_id": f"{number:016x}"}
                samples.append({**known, "sample_id": f"{number:016x}", **about, **talk})
            writer.write_table(pa.Table.from_pylist(group, schema))
    for asset, rows in (("captions", described), ("fine_tune_set", samples), ("filtered_pairs", [])):
        path = ledger.table_path(asset, SHARD)
        path.parent.mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(rows, stage_named(asset).schema), path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, nargs="+", default=[50, 200])
    parser.add_argument("--boxes", action="store_true", help="Draw red boxes, which has each picture encoded anew.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results there")
    parser.add_argument("--measure", nargs=3, metavar=("LEDGER", "FORMAT", "OUT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        root, name, out = arguments.measure
        options = Options(boxes=arguments.boxes)
        export(Ledger(Path(root)), [SHARD], formats()[name], Path(out), options, lambda *told: None)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
        return
    results = []
    for pairs in arguments.pairs:
        with tempfile.TemporaryDirectory() as folder:
            ledger = Ledger(Path(folder) / "ledger")
            make_home(ledger, pairs)
            stored = ledger.table_path("image_pairs", SHARD).stat().st_size // MEBIBYTE
            for name in NAMES:
                command = [sys.executable, "-m", "benchmarks.exports", "--measure", str(ledger.root), name]
                command += [f"{folder}/{name}", *(["--boxes"] if arguments.boxes else [])]
                told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                written = sum(file.stat().st_size for file in Path(folder, name).rglob("*") if file.is_file())
                result = {"pairs": pairs, "format": name, "boxes": arguments.boxes, "pictures_mib": stored}
                results.append({**result, "written_mib": written // MEBIBYTE, "peak_memory_mib": int(told)})
                print(json.dumps(results[-1]), flush=True)
    if arguments.json:
        command = " ".join(["python -m benchmarks.exports", *(["--boxes"] if arguments.boxes else [])])
        text = json.dumps({"command": command, "exports": results}, indent=1)
        arguments.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
