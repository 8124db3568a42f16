"""How long `imgdiff demo` takes, in a fresh home and a process of its own, and what of it which measurement takes.

    python -m benchmarks.demo [--repeats 3] [--json benchmarks/results/demo.json]
    python -m benchmarks.demo --pairs 16 [--threads 2]

Loading a model counts for the measurement that asks for it first. The rest is the start of Python and Dagster, checks,
judging, writing and pictures. All repeats must make the same tables. Seconds are medians.

With `--pairs`, only so many pairs are drawn, the model loaded before; their hash tells whether two ways give the same
bits, as with `OMP_WAIT_POLICY=passive` and without.
"""

import argparse
import hashlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

from imgdiff_assets.cli.demo import DEMO_CAPTIONS
from imgdiff_assets.common.environment import library_versions
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from resources.backends.choice import backend_of

COMMAND = (sys.executable, "-m", "imgdiff_assets.cli.main", "demo", "--json")


def demo(home: Path) -> tuple[float, list[Mapping[str, Any]]]:
    """Run the demo in a home; return the seconds it took, and the record of each table."""
    started = time.perf_counter()
    environment = {**os.environ, "IMGDIFF_HOME": str(home)}
    run = subprocess.run(COMMAND, env=environment, stdout=subprocess.PIPE, check=True)
    return time.perf_counter() - started, json.loads(run.stdout)["materializations"]


def draw(pairs: int, threads: int, repeats: int) -> Mapping[str, Any]:
    """Draw pairs of the demo's captions, and of what they are with other words; the seconds are of each call."""
    import torch

    torch.set_num_threads(threads)
    settings = load_recipe("miniature").roles["pair_generator"]
    generator = backend_of(settings).load(settings)
    sources = DEMO_CAPTIONS.read_text(encoding="utf-8").splitlines()[:pairs]
    targets = [source.replace("red", "blue").replace("green", "yellow").replace("ball", "cube") for source in sources]
    generator.generate(sources[:2], targets[:2], [1, 2])
    taken: list[float] = []
    images: Any = ()
    for _ in range(repeats):
        started = time.perf_counter()
        images = generator.generate(sources, targets, range(len(sources)))
        taken.append(round(time.perf_counter() - started, 2))
    drawn = hashlib.sha256(b"".join(each.tobytes() for each in images)).hexdigest()
    return {"pairs": len(sources), "threads": threads, "seconds": median(taken), "all": taken, "sha256": drawn}


def main() -> None:
    """Measure, print, and write what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results there")
    parser.add_argument("--pairs", type=int, metavar="N", help="draw so many pairs instead")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="that draw them")
    options = parser.parse_args()
    if options.pairs:
        print(json.dumps(draw(options.pairs, options.threads, options.repeats), indent=1))
        return
    totals: list[float] = []
    steps: dict[str, list[float]] = {}
    hashes: list[list[str]] = []
    for _ in range(options.repeats):
        with tempfile.TemporaryDirectory() as folder:
            seconds, records = demo(Path(folder) / "home")
        totals.append(seconds)
        hashes.append([record["output_hash"] for record in records])
        measured = {
            f"{record['asset']}.{step}": taken for record in records for step, taken in record["step_seconds"].items()
        }
        for name, taken in {**measured, "the rest": seconds - sum(measured.values())}.items():
            steps.setdefault(name, []).append(taken)
    assert all(each == hashes[0] for each in hashes), "the demo made other tables"
    result = {
        "command": "python -m benchmarks.demo --json benchmarks/results/demo.json",
        "device": f"{platform.machine()} CPU, {os.cpu_count()} cores",
        "versions": library_versions(),
        "seconds": round(median(totals), 1),
        "all": [round(total, 1) for total in totals],
        "steps": {name: round(median(taken), 2) for name, taken in steps.items()},
    }
    text = json.dumps(result, indent=1)
    print(text)
    if options.json is not None:
        options.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
