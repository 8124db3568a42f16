"""An upgrade measures nothing unasked: on homes of the releases before, with code that says that it is newer."""

import json
import re
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from imgdiff_assets.engine.staleness import Staleness
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages import graph
from imgdiff_assets.stages.stage import Stage
from imgdiff_assets.stages.steps import Measurement
from imgdiff_assets.what_if.upgrade import upgrade
from tests.imgdiff_assets.conftest import HOMES

SHARD = "shard-000000"
CHANGELOG = Path(__file__).parents[3] / "CHANGELOG.md"


def newer(stage: Stage, step: str) -> Stage:
    steps = [
        replace(each, version=each.version + 1) if isinstance(each, Measurement) and each.name == step else each
        for each in stage.steps
    ]
    return replace(stage, steps=tuple(steps))


def records_of_0_1_0() -> dict[str, dict[str, Any]]:
    """What the tables of a shard of drawn scenes say, by stage."""
    found = {}
    with tarfile.open(HOMES / "0.1.0.tar.xz") as archive:
        for member in archive:
            if match := re.search(rf"ledger/(\w+)/shard={SHARD}/history\.jsonl$", member.name):
                lines = archive.extractfile(member)
                assert lines is not None
                found[match[1]] = json.loads(lines.read().splitlines()[-1])
    return found


def test_the_changelog_names_what_this_release_measures_otherwise() -> None:
    said = CHANGELOG.read_text(encoding="utf-8").partition("### When you upgrade")[2].partition("### ")[0]
    records = records_of_0_1_0()
    assert len(records) == 8
    for stage in (stage for stage in graph.STAGES if stage.name in records):
        then = stage.versions(records[stage.name]["code_version"])
        for step in stage.measurements:
            if then.get(step.name, str(step.version)) != str(step.version):
                assert f"`{stage.name}: {step.name}`" in said


@pytest.fixture
def upgraded(miniature_home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home, the boxes of which a newer release would measure otherwise."""
    be_newer(monkeypatch)
    return Home(Path(shutil.copytree(miniature_home.root, tmp_path / "home")))


def be_newer(monkeypatch: pytest.MonkeyPatch) -> None:
    stages = tuple(newer(stage, "propose") if stage.name == "bounding_boxes" else stage for stage in graph.STAGES)
    monkeypatch.setattr(graph, "STAGES", stages)
    monkeypatch.setattr("imgdiff_assets.what_if.upgrade.STAGES", stages)


def boxes(home: Home) -> list[dict[str, Any]]:
    return Ledger(home.ledger).read("bounding_boxes", SHARD).to_pylist()


def test_a_run_names_rows_and_time_and_measures_nothing_unasked(invoke: Any, upgraded: Home) -> None:
    before = {path: path.stat().st_mtime_ns for path in upgraded.ledger.rglob("*.parquet")}
    result = invoke(upgraded.root, "run")
    assert result.exit_code == 1
    assert re.search(r"bounding_boxes: propose +\d+ rows, about \d+ seconds?\n", result.output)
    assert re.search(r"what follows from them: up to \d+ rows, about", result.output)
    assert "Nothing was run: --yes measures them again, --keep-measured leaves them as they are." in result.output
    assert {path: path.stat().st_mtime_ns for path in upgraded.ledger.rglob("*.parquet")} == before
    rows = len({row["propose_fingerprint"] for row in boxes(upgraded)} - {None})
    assert rows > 0
    assert "measured again: propose, about" in invoke(upgraded.root, "run", "--dry-run").output
    assert "measured again" not in invoke(upgraded.root, "run", "--dry-run", "--keep-measured").output
    assert invoke(upgraded.root, "run", "--yes", "--keep-measured").exit_code == 2


@pytest.mark.slow
def test_rows_are_left_where_that_is_said_and_lineage_tells(invoke: Any, upgraded: Home) -> None:
    before = [row["propose_fingerprint"] for row in boxes(upgraded)]
    result = invoke(upgraded.root, "run", "--keep-measured")
    assert result.exit_code == 0, result.output
    assert [row["propose_fingerprint"] for row in boxes(upgraded)] == before
    (region, *_) = [row["region_id"] for row in boxes(upgraded) if row["kept"]]
    assert "propose: as version 1 of its code measured it" in invoke(upgraded.root, "lineage", region).output
    again = invoke(upgraded.root, "run", "--json")
    assert json.loads(again.output)["run_ids"] == [], "what was said once is not asked again"
    assert "propose, about" not in invoke(upgraded.root, "run", "--dry-run").output
    result = invoke(upgraded.root, "run", "--yes")
    assert result.exit_code == 0, result.output
    assert not {row["propose_fingerprint"] for row in boxes(upgraded)} & set(before) - {None}
    assert "as version 1" not in invoke(upgraded.root, "lineage", region).output


def test_a_home_of_0_1_0_stays_as_it_was_measured(
    home_of_0_1_0: Home, miniature_recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    staleness = Staleness(home_of_0_1_0, miniature_recipe, graph.STAGE_NAMES)
    assert not any(plan.how.outdated(plan.record or {}) for plan in staleness.plans(SHARD))
    assert staleness.renewed == []
    be_newer(monkeypatch)
    staleness = Staleness(home_of_0_1_0, miniature_recipe, graph.STAGE_NAMES)
    staleness.plans(SHARD)
    assert [(table.how.stage.name, *table.renewed) for table in staleness.renewed] == [("bounding_boxes", "propose")]
    (found,) = upgrade(Ledger(home_of_0_1_0.ledger), staleness.renewed).again
    assert found.rows == sum(row["propose_fingerprint"] is not None for row in boxes(home_of_0_1_0))
    assert found.seconds is not None
