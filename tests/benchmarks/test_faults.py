"""The short version: a real run over one caption, killed once and started again."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.long
def test_a_killed_run_loses_nothing(tmp_path: Path) -> None:
    results = tmp_path / "faults.json"
    options = {"--moments": 1, "--together": 0, "--captions": 1, "--seed": 7, "--json": results}
    command = [sys.executable, "-m", "benchmarks.faults", *(str(word) for pair in options.items() for word in pair)]
    folder = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (trial,) = json.loads(results.read_text(encoding="utf-8"))["trials"]
    assert trial["batches"] > 0
    assert trial["reused"] == trial["rows"]
    assert trial["measured_twice"] == 0
    assert trial["same"]
    assert trial["catalog_same"]
    assert trial["left"] == []
