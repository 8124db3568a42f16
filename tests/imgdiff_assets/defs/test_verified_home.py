"""A home is looked at as a whole: by the command, by Dagster at night; what can be made anew is."""

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from click.testing import CliRunner

from imgdiff_assets.cli.main import main
from imgdiff_assets.defs import checks
from imgdiff_assets.defs.catalog_index import catch_up, rebuild
from imgdiff_assets.defs.dagster_instance import SettingsUnusable, dagster_instance
from imgdiff_assets.defs.verified_home import verify_home
from imgdiff_assets.defs.whole_graph import build_definitions
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import COMMON_STAGES as STAGES
from resources.catalog import Catalog

SHARD = "shard-000001"


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


@pytest.fixture
def imgdiff(own_home: Home, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("IMGDIFF_HOME", str(own_home.root))
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    return lambda line: CliRunner().invoke(main, line.split())


def test_the_command_tells_what_it_found_and_what_became_of_it(own_home: Home, imgdiff: Any) -> None:
    assert imgdiff("ledger verify").exit_code == 0
    path = Ledger(own_home.ledger).table_path("captions", SHARD)
    flip(path, 40)
    own_home.reviews.write_text("[]\n{}\n", encoding="utf-8")
    result = imgdiff("ledger verify --json")
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    (finding,) = told["findings"]
    assert finding["file"] == f"ledger/captions/shard={SHARD}/rows.parquet"
    assert finding["reason"].startswith("region_id of rows 0 to ")
    assert finding["outcome"].startswith("moved to rows.parquet.damaged-")
    assert told["unreadable"] == {"reviews.jsonl": [1, 2]}
    again = imgdiff("ledger verify")
    assert again.exit_code == 0
    assert "reviews.jsonl: 2 lines cannot be read and passed over, the first is 1" in again.stdout
    assert "captions" in imgdiff("run --dry-run").stdout


@pytest.mark.parametrize("kept", [0.5, *(pytest.param(kept, marks=pytest.mark.slow) for kept in (0.99, 0.01))])
def test_a_catalog_that_is_half_there_stops_nothing_and_is_made_anew(
    own_home: Home, imgdiff: Any, kept: float
) -> None:
    known = rebuild(own_home)
    half = own_home.catalog.read_bytes()
    for look in ("catch_up", "verify"):
        own_home.catalog.write_bytes(half[: int(kept * len(half))])
        said: list[str] = []
        if look == "verify":
            assert "catalog.duckdb" in imgdiff("ledger verify").stdout
        else:
            catch_up(own_home, [Ledger(own_home.ledger).record("captions", SHARD) or {}], said.append)
            assert "It is made anew from the ledger." in said[0]
        assert Catalog(own_home.catalog).query("SELECT * FROM materializations").num_rows == known


def test_a_catalog_that_another_program_has_open_is_left_to_it(own_home: Home) -> None:
    rebuild(own_home)
    program = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", program, str(own_home.catalog)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"open\n"
        said: list[str] = []
        inode = own_home.catalog.stat().st_ino
        catch_up(own_home, [Ledger(own_home.ledger).record("captions", SHARD) or {}], said.append)
        assert own_home.catalog.stat().st_ino == inode
        assert "Could not set lock" in said[0]
        other.communicate()


def test_dagsters_own_files_are_set_aside_when_they_are_damaged(own_home: Home) -> None:
    with dagster_instance(own_home) as instance:
        instance.add_dynamic_partitions("shards", [SHARD])
    databases = sorted(own_home.dagster.rglob("*.db"))
    assert databases
    for database in databases:
        database.write_bytes(database.read_bytes()[:3000])
    (own_home.dagster / "dagster.yaml").write_bytes(b"storage: [\xff")
    with pytest.raises(SettingsUnusable, match=r"dagster\.yaml: Dagster cannot begin"), dagster_instance(own_home):
        pass
    found = verify_home(own_home).findings
    assert len(found) == len(databases) + 1
    assert verify_home(own_home).findings == []
    with dagster_instance(own_home) as instance:
        assert instance.get_runs() == []
    for database in own_home.dagster.rglob("*.db"):
        with closing(sqlite3.connect(database)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def _verify_by_night(home: Home, recipe: Recipe) -> dict[str, dg.AssetCheckEvaluation]:
    job = build_definitions(home, recipe).resolve_job_def("verify_ledger_job")
    with dg.instance_for_test() as instance:
        result = job.execute_in_process(instance=instance)
    return {check.asset_key.to_user_string(): check for check in result.get_asset_check_evaluations()}


def test_at_night_a_check_looks_at_the_tables_whose_turn_it_is(
    own_home: Home, drawn_recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "NIGHTS", 1)
    path = Ledger(own_home.ledger).table_path("captions", SHARD)
    flip(path, 40)
    found = _verify_by_night(own_home, drawn_recipe)
    assert set(found) == {stage.name for stage in STAGES}
    assert {name for name, check in found.items() if not check.passed} == {"captions"}
    assert "region_id of rows 0 to" in (found["captions"].description or "")
    assert not path.exists()
    assert Ledger(own_home.ledger).latest_aside("captions", SHARD) is not None
