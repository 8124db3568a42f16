"""What the miniature's measurements cost, row by row: what `imgdiff estimate` says before a home knows it itself.

    python -m benchmarks.rates [--json imgdiff_assets/data/recorded_rates.json]

The captions of the demo in two shards through the whole graph; the second is counted, for which all models are loaded.
"""

import argparse
import json
import platform
import tempfile
from dataclasses import asdict
from pathlib import Path

from imgdiff_assets.cli.demo import DEMO_CAPTIONS
from imgdiff_assets.cli.run_graph import run_graph
from imgdiff_assets.common.environment import library_versions
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.ingest_captions import ingest
from imgdiff_assets.ingest.shards import shard_keys
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.statistics.measured_rates import measured_rates

SHARD_SIZE = 32


def main() -> None:
    """Measure, print, and write what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results there")
    file = parser.parse_args().json
    recipe = load_recipe("miniature")
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder) / "home")
        ingest([DEMO_CAPTIONS], home, shard_size=SHARD_SIZE)
        report = run_graph(home, recipe)
        assert report.succeeded, report.failures
        rates = measured_rates(home, recipe, shard_keys(home)[1:2])
    result = {
        "command": "python -m benchmarks.rates --json imgdiff_assets/data/recorded_rates.json",
        "device": f"{platform.machine()} CPU",
        "versions": library_versions(),
        **asdict(rates),
    }
    text = json.dumps(result, indent=1)
    print(text)
    if file is not None:
        file.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
