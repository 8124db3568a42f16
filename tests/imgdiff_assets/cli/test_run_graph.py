"""A run over a range of shards: one that is bad costs the others nothing; nor does a full disk."""

import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import dagster as dg
import pytest

from imgdiff_assets.cli.run_graph import run_graph
from imgdiff_assets.defs.dagster_instance import dagster_instance
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.shards import ingest
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.recipe.recipe import load_recipe

STAGES = ["prompt_pairs", "image_pairs"]
KEYS = ["shard-000000", "shard-000001", "shard-000002"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Three shards of captions with unknown words: all stages can run, and no model is needed."""
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    home = Home(tmp_path / "home")
    return with_captions(home, tmp_path / "captions.txt")


def with_captions(home: Home, file: Path) -> Home:
    file.write_text("\n".join(f"quokka number {number}" for number in range(3)))
    ingest([file], home, shard_size=1)
    return home


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, of eight megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("only root may mount a small disk")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_bad_shard_stops_no_other_and_loses_no_record(home: Home) -> None:
    bad = home.captions / f"{KEYS[1]}.parquet"
    whole = bad.read_bytes()
    bad.write_bytes(whole[:100])
    report = run_graph(home, load_recipe("miniature"), select=STAGES)
    assert len(report.failures) == 1
    assert f"{KEYS[1]}.parquet: is not a readable caption table" in report.failures[0]
    ledger = Ledger(home.ledger)
    for stage in STAGES:
        assert ledger.shards(stage) == [KEYS[0], KEYS[2]]
    with dagster_instance(home) as instance:
        recorded = instance.get_materialized_partitions(dg.AssetKey("prompt_pairs"))
        assert recorded == {KEYS[0], KEYS[2]}, "by the run that failed"
        failed = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE]))
    assert [run.run_id for run in failed] == report.run_ids[:1]

    bad.write_bytes(whole)
    again = run_graph(home, load_recipe("miniature"), select=STAGES)
    assert (again.failures, again.fresh, len(again.run_ids)) == ([], [KEYS[0], KEYS[2]], 1)
    assert [record["shard"] for record in again.materializations] == [KEYS[1]] * len(STAGES)
    assert run_graph(home, load_recipe("miniature"), select=STAGES).run_ids == []


def test_a_run_on_a_full_disk_says_so_and_goes_on_when_there_is_room(
    small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    home, recipe = with_captions(Home(small_disk / "home"), tmp_path / "captions.txt"), load_recipe("miniature")
    run_graph(home, recipe, shards=KEYS[:1])
    filler = small_disk / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1024))
    with pytest.raises(OSError, match=r"Dagster's database cannot be used \(.*\); make room") as full:
        run_graph(home, recipe)
    assert "\n" not in str(full.value)
    filler.unlink()
    assert run_graph(home, recipe).failures == []
    assert run_graph(home, recipe).fresh == KEYS
