"""`imgdiff run --workers`: nothing is left of a run, also of one that is killed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchmarks.served_crew import ServedCrew
from imgdiff_assets.engine.loaded_models import LoadedModels
from imgdiff_assets.engine.materialize import materialize
from imgdiff_assets.engine.parents import read_inputs
from imgdiff_assets.engine.workers.crew import Crew
from imgdiff_assets.engine.workers.local_crew import LocalCrew
from imgdiff_assets.engine.workers.ray_crew import RayCrew
from imgdiff_assets.engine.workers.team import Team
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.recipe.worker_settings import LOCAL, RAY
from imgdiff_assets.stages.graph import COMMON_STAGES as STAGES
from tests.hazardous_backend import calls, write_plan
from tests.imgdiff_assets.engine.workers.conftest import BATCH, CAPTIONS, ROOT, SHARD, Shop

pytestmark = pytest.mark.slow

CREWS: dict[str, Callable[[], Crew]] = {
    "served": lambda: ServedCrew(2, imported=("benchmarks.model_libraries",)),
    "local": lambda: LocalCrew(2),
    "ray": lambda: RayCrew(2, None, 1.0, None, "SPREAD"),
}
WAITING = 2
"""Batches that nobody ends with before the driver is killed."""


def start(shop: Shop, home: Path, backend: str) -> "subprocess.Popen[str]":
    file, recipe = shop.root / "recipe.yaml", shop.recipe().model_dump(mode="json")
    recipe["workers"] |= {"backend": backend}
    file.write_text(json.dumps(recipe), encoding="utf-8")
    command = ["run", "--workers", "2", "--select", "prompt_pairs", "--recipe", str(file), "--json"]
    return subprocess.Popen(
        [sys.executable, "-m", "imgdiff_assets.cli.main", *command],
        env={**os.environ, "IMGDIFF_HOME": str(home)},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    "kind", ["served", *(pytest.param(kind, marks=pytest.mark.long) for kind in ("local", "ray"))]
)
def test_a_team_makes_of_every_stage_what_one_process_makes(
    measured: Any, measured_home: Home, tmp_path: Path, kind: str
) -> None:
    """Images are read, drawn and erased by workers; real models, in batches of three."""
    one, recipe = Ledger(measured_home.ledger), measured.recipe()
    captions = one.read("prompt_pairs", SHARD)["source_caption"].to_pylist()
    said: list[str] = []
    home, team = measured.ingest(tmp_path / "own", captions), Team(CREWS[kind], said.append)
    try:
        for stage in STAGES:
            inputs, models = read_inputs(stage, home, SHARD), LoadedModels.shared(recipe.roles)
            made = materialize(stage, SHARD, inputs, recipe, Ledger(home.ledger), models, "run", measurer=team)
            assert made.output_hash == (one.record(stage.name, SHARD) or {})["output_hash"], stage.name
            assert bool(made.workers) == bool(stage.roles)
            assert models.opened == set(), "the driver loads none"
        assert not [text for text in said if "has ended" in text]
    finally:
        team.close()


def gone(processes: set[int]) -> bool:
    """Whether none is left, after a while."""
    deadline = time.monotonic() + 20
    while any(map(psutil.pid_exists, processes)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return not any(map(psutil.pid_exists, processes))


@pytest.mark.parametrize("backend", [LOCAL, RAY])
def test_a_killed_driver_takes_its_workers_along_and_the_next_run_goes_on(
    shop: Shop, unbroken: str, backend: str
) -> None:
    """Killed while a worker measures, when all batches but the last are durable: these are not measured again."""
    home, last = shop.fresh(), WAITING * BATCH
    write_plan(shop.plan, {**dict.fromkeys(CAPTIONS[:BATCH], "meet"), **dict.fromkeys(CAPTIONS[-last:], "wait")})
    killed, durable = start(shop, home.root, backend), len(CAPTIONS) // BATCH - WAITING
    while len(Ledger(home.ledger).all_staged()) < durable or len(calls(shop.plan)) <= durable:
        assert killed.poll() is None
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert gone({process for process, _ in calls(shop.plan)})
    write_plan(shop.plan, dict.fromkeys(CAPTIONS[-last:], "meet"))
    done = start(shop, home.root, backend)
    told: dict[str, Any] = json.loads(done.communicate()[0])
    record = Ledger(home.ledger).record("prompt_pairs", SHARD) or {}
    assert (done.returncode, told["failures"], record["output_hash"]) == (0, [], unbroken)
    assert (record["reused"], record["calls"]["rewrite"]) == (len(CAPTIONS) - last, last)
    assert [use["rows"] for use in record["workers"].values()] == [BATCH, BATCH]
    assert gone({process for process, _ in calls(shop.plan)})
