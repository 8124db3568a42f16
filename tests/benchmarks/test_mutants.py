"""The short version: some mutants of every kind of picture."""

import json
from pathlib import Path

from benchmarks.mutants import main, seeds


def test_every_mutant_is_ingested_or_rejected_with_a_reason(tmp_path: Path) -> None:
    results = tmp_path / "mutants.json"
    assert main(["--count", "400", "--seed", "7", "--json", str(results)]) == 0
    result = json.loads(results.read_text(encoding="utf-8"))
    assert result["wrong"] == []
    assert result["mutants"] == result["ingested"] + result["rejected"] == 400
    assert result["good_pairs_among_them"] == 16
    assert min(result["ingested"], result["rejected"]) > 50
    assert set(result["by_picture"]) == set(seeds())
