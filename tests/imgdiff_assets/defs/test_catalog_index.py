"""The catalog can be lost: it is made again from the ledger, the same to the last row."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from benchmarks.buckets import Misbehaving
from imgdiff_assets.common.addresses import address
from imgdiff_assets.defs.catalog_index import catch_up, index, rebuild, refresh_view
from imgdiff_assets.engine.record import FilterStatistic, Materialization
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.cells import is_image
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.store import store
from imgdiff_assets.ledger.store.objects import ObjectStore
from imgdiff_assets.ledger.tables import write_rows
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.filtered_pairs import STAGE
from imgdiff_assets.stages.graph import COMMON_NAMES as STAGE_NAMES
from imgdiff_assets.stages.graph import COMMON_STAGES as STAGES
from imgdiff_assets.stages.graph import stages_of
from resources.catalog import TABLES, Catalog, CatalogUnavailable

SHARDS = ("shard-000000", "shard-000001")


def _contents(home: Home, names: Sequence[str] = (*TABLES, *STAGE_NAMES)) -> dict[str, list[dict[str, Any]]]:
    catalog = Catalog(home.catalog)
    return {name: catalog.query(f"SELECT * FROM {name} ORDER BY ALL").to_pylist() for name in names}


def _record(shard: str, finished_at: str, kept: int = 1) -> dict[str, Any]:
    names = ("run_id", "recipe", "recipe_hash", "settings_hash", "code_version", "inputs_hash")
    filters = [FilterStatistic("too_similar", 0.5, seen=2, passed=kept, rejected=2 - kept)]
    record = Materialization(STAGE.name, shard, *names, finished_at=finished_at, kept=kept, filters=filters)
    return record.to_json()


def _commit(home: Home, shard: str, finished_at: str) -> dict[str, Any]:
    record = _record(shard, finished_at)
    Ledger(home.ledger).commit(STAGE.name, shard, STAGE.schema, pa.table({"pair_id": [finished_at]}), [], record)
    return record


def test_a_deleted_catalog_is_made_again_the_same(
    own_home: Home, drawn_recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over a ledger that the real stages made, recorded as each table was written."""
    ledger = Ledger(own_home.ledger)
    for shard in SHARDS:
        for stage in STAGES:
            index(own_home, ledger.history(stage.name, shard))
    refresh_view(own_home, *STAGES)
    before = _contents(own_home)
    assert len(before["materializations"]) == len(STAGES) * len(SHARDS)
    assert len(before["filter_statistics"]) == len(SHARDS) * sum(
        len(stage.filters) for stage in stages_of(drawn_recipe)
    )
    own_home.catalog.unlink()
    opened, connect = [], duckdb.connect
    monkeypatch.setattr(duckdb, "connect", lambda *arguments: (opened.append(arguments), connect(*arguments))[1])
    assert rebuild(own_home) == len(before["materializations"])
    assert len(opened) == 2, "once for the records, once for all views"
    assert _contents(own_home) == before
    assert rebuild(own_home) == len(before["materializations"])
    assert _contents(own_home) == before, "made again over itself"


def test_a_run_that_was_killed_before_it_could_say_what_it_made(own_home: Home) -> None:
    ledger = Ledger(own_home.ledger)
    records = [record for stage in STAGES for record in ledger.history(stage.name, SHARDS[0])]
    index(own_home, records[:2])
    catch_up(own_home, records[1:])
    caught_up = _contents(own_home, list(TABLES))
    own_home.catalog.unlink()
    index(own_home, records)
    assert _contents(own_home, list(TABLES)) == caught_up


def test_views_show_the_ledger_without_images(own_home: Home, drawn_recipe: Recipe) -> None:
    rebuild(own_home)
    catalog, ledger = Catalog(own_home.catalog), Ledger(own_home.ledger)
    for stage in stages_of(drawn_recipe):
        shown = catalog.query(f"SELECT * FROM {stage.name}")
        expected = ["shard", *(field.name for field in stage.schema if not is_image(field))]
        assert shown.column_names == expected
        assert shown.num_rows == sum(ledger.read(stage.name, shard).num_rows for shard in SHARDS)


def test_a_view_has_the_images_wherever_they_lie(own_home: Home) -> None:
    ledger = Ledger(own_home.ledger)
    shown = "SELECT pair_id, source_image, target_image, width FROM image_pairs_with_images ORDER BY pair_id"
    expected = [
        {name: row[name] for name in ("pair_id", "source_image", "target_image", "width")}
        for shard in SHARDS
        for row in ledger.read("image_pairs", shard, images=True).to_pylist()
    ]
    expected.sort(key=lambda row: row["pair_id"])
    rebuild(own_home)
    assert Catalog(own_home.catalog).query(shown).to_pylist() == expected
    for shard in SHARDS:  # as an earlier release wrote them: first one beside another, then all
        rows = ledger.read("image_pairs", shard, images=True)
        write_rows(ledger.table_path("image_pairs", shard), rows.to_pylist(), rows.schema)
        rebuild(own_home)
        assert Catalog(own_home.catalog).query(shown).to_pylist() == expected


def test_every_materialisation_of_a_table_is_known(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    records = [_commit(home, "shard-000000", f"203{year}") for year in range(3)]
    for record in records:
        index(home, [record])
    before = Catalog(home.catalog).query("SELECT * FROM materializations ORDER BY ALL").to_pylist()
    home.catalog.unlink()
    assert rebuild(home) == 3
    assert Catalog(home.catalog).query("SELECT * FROM materializations ORDER BY ALL").to_pylist() == before


def test_of_a_bucket_only_what_is_new_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("IMGDIFF_LOCAL", str(tmp_path))
    bucket = Misbehaving()
    monkeypatch.setitem(store.OPENED, "s3://bucket", ObjectStore(bucket))
    home = Home(address("s3://bucket/home"))
    for shard in SHARDS:
        _commit(home, shard, "2030")
    assert rebuild(home) == 2
    bucket.requests.clear()
    assert rebuild(home) == 2
    assert bucket.requests == ["list"]
    _commit(home, SHARDS[0], "2031")
    bucket.requests.clear()
    assert rebuild(home) == 3
    assert sorted(bucket.requests) == ["get", "list"], "the new line of its history"


def test_a_kill_while_the_history_was_written_loses_nothing(tmp_path: Path) -> None:
    """The table's own footer has the record too."""
    home = Home(tmp_path / "home")
    _commit(home, "shard-000000", "2030")
    _commit(home, "shard-000000", "2031")
    history = Ledger(home.ledger).table_path(STAGE.name, "shard-000000").with_name("history.jsonl")
    history.write_bytes(history.read_bytes()[:-20])
    assert rebuild(home) == 2


@pytest.mark.parametrize("older", [0, 1])
def test_a_kill_before_the_history_was_written_loses_nothing(tmp_path: Path, older: int) -> None:
    """Times of files may be whole seconds, so that a table that is newer has the same."""
    home = Home(tmp_path / "home")
    _commit(home, "shard-000000", "2030")
    table = Path(Ledger(home.ledger).table_path(STAGE.name, "shard-000000"))
    history = table.with_name("history.jsonl")
    before = history.read_bytes()
    _commit(home, "shard-000000", "2031")
    history.write_bytes(before)
    at = int(table.stat().st_mtime)
    os.utime(table, (at, at))
    os.utime(history, (at - older, at - older))
    assert rebuild(home) == 2


def test_a_damaged_catalog_is_made_again(own_home: Home) -> None:
    own_home.catalog.write_bytes(b"no database" * 1_000)
    with pytest.raises(CatalogUnavailable, match=r"catalog\.duckdb: the catalog cannot be used"):
        Catalog(own_home.catalog).query("SELECT 1")
    assert rebuild(own_home) == len(STAGES) * len(SHARDS)
    assert len(_contents(own_home)["materializations"]) == len(STAGES) * len(SHARDS)


def test_an_empty_ledger_makes_an_empty_catalog(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    assert rebuild(home) == 0
    assert Catalog(home.catalog).query("SELECT * FROM materializations").num_rows == 0


def test_what_is_no_longer_in_the_ledger_is_forgotten(own_home: Home) -> None:
    rebuild(own_home)
    shutil.rmtree(Ledger(own_home.ledger).table_path("captions", "shard-000001").parent)
    assert rebuild(own_home) == len(STAGES) * len(SHARDS) - 1


@pytest.mark.parametrize("damage", ["truncated", "empty"])
def test_a_damaged_table_costs_the_catalog_only_its_own_record(own_home: Home, damage: str) -> None:
    path = Ledger(own_home.ledger).table_path("captions", "shard-000001")
    path.write_bytes(path.read_bytes()[:-50] if damage == "truncated" else b"")
    assert rebuild(own_home) == len(STAGES) * len(SHARDS), "its history is whole"
    assert Catalog(own_home.catalog).query("SELECT * FROM bounding_boxes").num_rows > 0
