"""`imgdiff run --workers`: nothing is left of a run, also of one that is killed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchmarks.forked_crew import ForkedCrew
from imgdiff_assets.engine.loaded_models import LoadedModels
from imgdiff_assets.engine.materialize import materialize
from imgdiff_assets.engine.parents import read_inputs
from imgdiff_assets.engine.workers.team import AT_ONCE, Team
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import COMMON_STAGES as STAGES
from tests.hazardous_backend import calls, write_plan
from tests.imgdiff_assets.engine.workers.conftest import BATCH, CAPTIONS, ROOT, SHARD, Shop

pytestmark = pytest.mark.slow


def start(shop: Shop, home: Path, recipe: Recipe) -> "subprocess.Popen[str]":
    file = shop.root / "recipe.yaml"
    file.write_text(json.dumps(recipe.model_dump(mode="json")), encoding="utf-8")
    command = ["run", "--workers", "2", "--select", "prompt_pairs", "--recipe", str(file), "--json"]
    return subprocess.Popen(
        [sys.executable, "-m", "imgdiff_assets.cli.main", *command],
        env={**os.environ, "IMGDIFF_HOME": str(home)},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_team_makes_of_every_stage_what_one_process_makes(
    measured: Any, measured_home: Home, tmp_path: Path
) -> None:
    """Images are read, drawn and erased by workers; real models, in batches of three."""
    one, recipe = Ledger(measured_home.ledger), measured.recipe()
    captions = one.read("prompt_pairs", SHARD)["source_caption"].to_pylist()
    home, team = measured.ingest(tmp_path / "own", captions), Team(lambda: ForkedCrew(2), pytest.fail)
    try:
        for stage in STAGES:
            inputs, models = read_inputs(stage, home, SHARD), LoadedModels.shared(recipe.roles)
            made = materialize(stage, SHARD, inputs, recipe, Ledger(home.ledger), models, "run", measurer=team)
            assert made.output_hash == (one.record(stage.name, SHARD) or {})["output_hash"], stage.name
            assert bool(made.workers) == bool(stage.roles)
            assert models.opened == set(), "the driver loads none"
    finally:
        team.close()


def gone(processes: set[int]) -> bool:
    """Whether none is left, after a while."""
    deadline = time.monotonic() + 20
    while any(map(psutil.pid_exists, processes)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return not any(map(psutil.pid_exists, processes))


def test_a_killed_driver_takes_its_workers_along_and_the_next_run_goes_on(shop: Shop, unbroken: str) -> None:
    home = shop.fresh()
    write_plan(shop.plan, dict.fromkeys(CAPTIONS, "slow"))
    killed = start(shop, home.root, shop.recipe())
    while len(calls(shop.plan)) < 3 and killed.poll() is None:
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert gone({process for process, _ in calls(shop.plan)})
    before = len(calls(shop.plan))
    done = start(shop, home.root, shop.recipe())
    told: dict[str, Any] = json.loads(done.communicate()[0])
    record = Ledger(home.ledger).record("prompt_pairs", SHARD) or {}
    assert (done.returncode, told["failures"], record["output_hash"]) == (0, [], unbroken)
    assert record["calls"]["rewrite"] == len(CAPTIONS) - record["reused"]
    assert len(calls(shop.plan)) <= len(CAPTIONS) // BATCH + 2 * AT_ONCE, "what each worker had is asked again"
    assert record["reused"] >= (before - 2 * AT_ONCE) * BATCH
    assert sum(use["rows"] for use in record["workers"].values()) == record["calls"]["rewrite"]
    assert gone({process for process, _ in calls(shop.plan)})
