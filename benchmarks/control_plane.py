"""What Dagster costs beside the ledger at many shards: `python -m benchmarks.control_plane [--json FILE]`.

Copies of one small shard, all up to date, under one instance: its storage is SQLite as shipped, or a PostgreSQL server
that `--postgres-url` names (its tables are made when missing). Measured are

- an event: one materialisation with its pictures, as a run records it;
- the tick of the schedule, with nothing stale and with all shards stale;
- a run that finds everything fresh, over one shard, over ten and over a hundred;
- pages of the web UI in headless Chromium, from the click to the last answer, where Chromium is there.
"""

import argparse
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import dagster as dg
import yaml

from benchmarks.shards import clone_shards
from imgdiff_assets.defs import automation
from imgdiff_assets.defs.asset_metadata import materialization_metadata
from imgdiff_assets.defs.dagster_instance import DAGSTER_YAML, dagster_instance
from imgdiff_assets.defs.partitions import register_shards
from imgdiff_assets.defs.placed_graph import PlacedGraph
from imgdiff_assets.defs.whole_graph import build_definitions
from imgdiff_assets.engine.record import Materialization
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.recipe.chosen_recipe import chosen_recipe, load_recipe
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import COMMON_NAMES as STAGE_NAMES
from imgdiff_assets.stages.graph import stage_named

ASSET = "bounding_boxes"
EVENTS = 50
REPEATS = 3
STORAGE = "storage:\n  postgres:\n    postgres_url:\n      env: DAGSTER_PG_URL\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=int, default=1000)
    parser.add_argument("--postgres-url", help="postgresql+psycopg2://user:password@host:port/database; else SQLite.")
    parser.add_argument("--json", type=Path, help="Add the figures to this file.")
    arguments = parser.parse_args()
    storage = "postgresql" if arguments.postgres_url else "sqlite"
    with tempfile.TemporaryDirectory() as folder:
        os.environ.pop("DAGSTER_HOME", None)
        recipe = load_recipe("miniature")
        home = clone_shards(Path(folder), recipe, arguments.shards)
        if arguments.postgres_url:
            os.environ["DAGSTER_PG_URL"] = arguments.postgres_url
            shutil.rmtree(home.dagster)
            home.dagster.mkdir()
            text = DAGSTER_YAML.read_text(encoding="utf-8")
            (home.dagster / "dagster.yaml").write_text(text + STORAGE, encoding="utf-8")
        figures = {"shards": float(arguments.shards)}
        print(f"{arguments.shards:,} shards, {storage}; seconds")
        for name, seconds in measure(home, recipe):
            print(f"{name:<28}{seconds:>10,.3f}", flush=True)
            figures[name] = round(seconds, 4)
    if arguments.json:
        known = json.loads(arguments.json.read_text(encoding="utf-8")) if arguments.json.exists() else {}
        shown = [name if "://" not in name else "postgresql+psycopg2://..." for name in sys.argv[1:]]
        known[storage] = {"command": " ".join(["python -m benchmarks.control_plane", *shown]), **figures}
        arguments.json.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")


def measure(
    home: Home, recipe: Recipe, ranges: Sequence[int] = (10, 100), repeats: int = REPEATS
) -> Iterator[tuple[str, float]]:
    """All figures of one instance, in seconds, as they come."""
    with dagster_instance(home) as instance:
        started = time.perf_counter()
        keys = register_shards(instance, home)
        yield "register the shards", time.perf_counter() - started
        yield "an event, median", record_events(home, instance, keys[:EVENTS])
        yield "tick, nothing stale", median(lambda: tick(home, recipe.name, instance, 0), repeats)
        changed, values = Path(home.root, "changed.yaml"), chosen_recipe(recipe.name).values()
        values["filtered_pairs"]["min_similarity"] = 0.01
        changed.write_text(yaml.safe_dump(values), encoding="utf-8")
        yield "tick, all stale: one run", median(lambda: tick(home, str(changed), instance, 1), repeats)
        yield "fresh run of 1 shard", median(lambda: fresh_run(home, recipe, instance, keys[:1]), repeats)
        for several in ranges:
            run = partial(fresh_run, home, recipe, instance, keys[:several])
            yield f"fresh run of {several} shards", median(run, repeats)
    if shutil.which("chromium"):
        yield from pages(home, len(keys))


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def median(work: Callable[[], object], repeats: int = REPEATS) -> float:
    return statistics.median(timed(work) for _ in range(repeats))


def record_events(home: Home, instance: dg.DagsterInstance, keys: list[str]) -> float:
    """A materialisation of each shard, with the metadata that a run gives it; returns the median seconds of one."""
    stage, ledger = stage_named(ASSET), Ledger(home.ledger)
    record = Materialization.from_json(ledger.record(ASSET, keys[0]) or {})
    metadata = materialization_metadata(record, stage, ledger, "", home.report)
    events = [dg.AssetMaterialization(ASSET, partition=key, metadata=metadata) for key in keys]
    return statistics.median(timed(lambda event=event: instance.report_runless_asset_event(event)) for event in events)


def tick(home: Home, recipe_name: str, instance: dg.DagsterInstance, requests: int) -> None:
    found = automation.stale_runs(PlacedGraph(home, recipe_name=recipe_name), instance, "benchmark")
    if len(found) != requests:
        raise AssertionError(f"{len(found)} runs were requested, not {requests}")


def fresh_run(home: Home, recipe: Recipe, instance: dg.DagsterInstance, keys: list[str]) -> None:
    """All stages over the first of the shards, as a click on Materialize starts it."""
    job = build_definitions(home, recipe).resolve_implicit_global_asset_job_def()
    tags = {"dagster/asset_partition_range_start": keys[0], "dagster/asset_partition_range_end": keys[-1]}
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    selection = [dg.AssetKey(name) for name in STAGE_NAMES]
    result = job.execute_in_process(instance=instance, asset_selection=selection, tags=tags, run_config=quiet)
    if not result.success:
        raise AssertionError("the run failed")


def pages(home: Home, shards: int) -> Iterator[tuple[str, float]]:
    """Seconds until pages of the web UI are there, the browser's cache warm."""
    from playwright.sync_api import sync_playwright

    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with web_ui(home) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=arguments)
        page = browser.new_page(viewport={"width": 1440, "height": 1000})
        for name, path, text in (
            ("page: graph", "/asset-groups", "fine_tune_set"),
            ("page: an asset", f"/assets/{ASSET}?view=overview", "Latest materialization"),
            ("page: its partitions", f"/assets/{ASSET}?view=partitions", f"{shards:,} Partitions Selected"),
        ):

            def look(path: str = path, text: str = text) -> None:
                page.goto(address + path)
                page.get_by_text(text).first.wait_for(timeout=120_000)
                page.wait_for_load_state("networkidle")

            look()
            # A page is idle when nothing was asked for during half a second.
            yield name, median(look) - 0.5
        browser.close()


@contextmanager
def web_ui(home: Home) -> Iterator[str]:
    """The address of a running `imgdiff ui`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "IMGDIFF_HOME": str(home.root), "IMGDIFF_RECIPE": "miniature"}
    command = [sys.executable, "-m", "imgdiff_assets.cli.main", "ui", "--port", str(port)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.send_signal(signal.SIGINT)


if __name__ == "__main__":
    main()
