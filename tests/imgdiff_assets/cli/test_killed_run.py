"""The command over one stage, killed, with the shipped weights. Any stage, at any moment: `benchmarks.faults`."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from imgdiff_assets.cli.run_graph import run_graph
from imgdiff_assets.defs.dagster_instance import dagster_instance
from imgdiff_assets.engine.record import BOOKKEEPING
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.ingest_captions import ingest
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.recipe.chosen_recipe import load_recipe

STAGE, SHARD = "prompt_pairs", "shard-000000"
KILLED = """
import os, signal
from imgdiff_assets.cli.main import main
from imgdiff_assets.common.progress import listening

def kill(what, done, total):
    if done == 2:
        os.kill(os.getpid(), signal.SIGKILL)

with listening(kill):
    main(["run", "--select", "prompt_pairs", "--set", "prompt_rewriter.batch_size=1"])
"""


@pytest.mark.slow
def test_no_batch_that_was_measured_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.setattr("imgdiff_assets.defs.runs_in_progress.YOUNG_SECONDS", 0)
    home, unbroken, recipe = Home(tmp_path / "home"), Home(tmp_path / "unbroken"), load_recipe("miniature")
    captions = tmp_path / "captions.txt"
    captions.write_text("a red ball on the grass\na blue boat on the sea\na pink cup on the snow\n")
    for each in (home, unbroken):
        ingest([captions], each)
    environment = {**os.environ, "IMGDIFF_HOME": str(home.root)}
    killed = subprocess.run([sys.executable, "-c", KILLED], env=environment, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr

    (record,) = run_graph(home, recipe, select=[STAGE]).materializations
    assert (record["reused"], record["measured"]) == (2, 1)
    with dagster_instance(home) as instance:
        newest, oldest = instance.get_runs()
    assert (newest.status, oldest.status) == (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE)
    run_graph(unbroken, recipe, select=[STAGE])
    made, expected = (Ledger(each.ledger).read(STAGE, SHARD) for each in (home, unbroken))
    assert made.drop_columns(list(BOOKKEEPING)) == expected.drop_columns(list(BOOKKEEPING))
    left, known = ({path.name for path in each.ledger.rglob("*") if path.is_file()} for each in (home, unbroken))
    assert left == known
