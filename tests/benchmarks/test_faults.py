"""The short version: two kills of real runs, each in another stage."""

import json
import os
import subprocess
import sys
from pathlib import Path


def test_killed_runs_lose_nothing(tmp_path: Path) -> None:
    results = tmp_path / "faults.json"
    options = {"--moments": 2, "--together": 0, "--captions": 2, "--seed": 1, "--json": results}
    command = [sys.executable, "-m", "benchmarks.faults", *(str(word) for pair in options.items() for word in pair)]
    folder = Path(__file__).parents[2]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    trials = json.loads(results.read_text(encoding="utf-8"))["trials"]
    assert len({trial["stage"] for trial in trials}) == 2
    assert sum(trial["batches"] for trial in trials) > 0
    for trial in trials:
        assert trial["reused"] == trial["rows"]
        assert trial["measured_twice"] == 0
        assert trial["same"]
        assert trial["catalog_same"]
        assert trial["left"] == []
