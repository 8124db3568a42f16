"""The catalog: records in as they are, each once; several processes; older tables; a file that is lost or locked."""

import json
import multiprocessing
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from resources.catalog import FILTER_STATISTICS, MATERIALIZATIONS, Catalog, CatalogUnavailable

TEXTS = ("asset", "shard", "run_id", "recipe", "recipe_hash", "settings_hash", "code_version", "inputs_hash")
NUMBERS = ("rows_in", "rows", "kept", "reused", "measured", "errors")


def _record(
    shard: str = "shard-000000", finished_at: str = "2030-01-01T00:00:00+00:00", **changes: Any
) -> dict[str, Any]:
    filters = [
        {"filter": name, "threshold": 0.5, "seen": 9, "passed": 6, "rejected": 3, "p05": 0.1, "p50": None, "p95": 0.9}
        for name in ("too_different", "too_similar")
    ]
    return {
        **{name: f"{name} x" for name in (*TEXTS, "output_hash")},
        **dict.fromkeys(NUMBERS, 7),
        "asset": "filtered_pairs",
        "shard": shard,
        "finished_at": finished_at,
        "seconds": 1.5,
        "rejections": {"too_similar": 3, "error:value": 1},
        "calls": {"compare": 7},
        "step_seconds": {"compare": 1.25},
        "models": {"image_text_encoder": {"model": 'it\'s "quoted"', "revision": None}},
        "devices": {"image_text_encoder": "cpu (AVX2)"},
        "peak_memory": {"image_text_encoder": 1_000_000_000},
        "filters": filters,
        "changed": True,
        **changes,
    }


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(tmp_path / "home" / "catalog.duckdb")


def _rows(catalog: Catalog, table: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = catalog.query(f"SELECT * FROM {table} ORDER BY ALL").to_pylist()
    return rows


def test_an_empty_catalog_answers(catalog: Catalog) -> None:
    assert catalog.query("SELECT count(*) AS n FROM materializations")["n"].to_pylist() == [0]
    assert catalog.query("SELECT * FROM filter_statistics").schema.names == FILTER_STATISTICS.names
    catalog.add([])
    catalog.replace([])
    assert _rows(catalog, "materializations") == []


def test_records_come_back_as_they_went_in(catalog: Catalog) -> None:
    record = _record()
    catalog.add([record])
    (row,) = _rows(catalog, "materializations")
    assert list(row) == MATERIALIZATIONS.names
    for name, value in row.items():
        assert (json.loads(value) if isinstance(record[name], dict) else value) == record[name]
    statistics = _rows(catalog, "filter_statistics")
    assert [(row["position"], row["filter"]) for row in statistics] == [(0, "too_different"), (1, "too_similar")]
    assert statistics[0]["p50"] is None
    assert {row["finished_at"] for row in statistics} == {record["finished_at"]}


def test_a_record_added_again_is_there_once(catalog: Catalog) -> None:
    catalog.add([_record(), _record("shard-000001")])
    catalog.add([_record(kept=5, filters=[]), _record(finished_at="2031-01-01T00:00:00+00:00")])
    rows = [(row["shard"], row["finished_at"][:4], row["kept"]) for row in _rows(catalog, "materializations")]
    assert sorted(rows) == [("shard-000000", "2030", 5), ("shard-000000", "2031", 7), ("shard-000001", "2030", 7)]
    counted = catalog.query("SELECT shard, finished_at, count(*) AS n FROM filter_statistics GROUP BY ALL").to_pylist()
    assert sorted((row["shard"], row["finished_at"][:4], row["n"]) for row in counted) == [
        ("shard-000000", "2031", 2),
        ("shard-000001", "2030", 2),
    ]


def test_replacing_forgets_what_was_there(catalog: Catalog) -> None:
    catalog.add([_record("shard-000001"), _record("shard-000002")])
    catalog.replace([_record("shard-000003")])
    assert [row["shard"] for row in _rows(catalog, "materializations")] == ["shard-000003"]
    assert len(_rows(catalog, "filter_statistics")) == 2


def test_a_record_of_an_older_version_lacks_what_it_did_not_know(catalog: Catalog) -> None:
    old = _record()
    del old["step_seconds"], old["output_hash"]
    for statistic in old["filters"]:
        del statistic["p05"]
    catalog.add([old])
    (row,) = _rows(catalog, "materializations")
    assert (row["step_seconds"], row["output_hash"], row["kept"]) == (None, None, 7)
    assert {row["p05"] for row in _rows(catalog, "filter_statistics")} == {None}


def test_a_failing_addition_changes_nothing(catalog: Catalog) -> None:
    catalog.add([_record()])
    with pytest.raises(pa.ArrowInvalid):
        catalog.add([_record(kept="many")])
    assert [row["kept"] for row in _rows(catalog, "materializations")] == [7]


def test_a_query_takes_parameters_and_closes_after_a_mistake(catalog: Catalog) -> None:
    catalog.add([_record(), _record("shard-000001")])
    found = catalog.query("SELECT shard FROM materializations WHERE shard = ?", ["shard-000001"])
    assert found["shard"].to_pylist() == ["shard-000001"]
    with pytest.raises(CatalogUnavailable, match="nowhere"):
        catalog.query("SELECT nonsense FROM nowhere")
    assert len(_rows(catalog, "materializations")) == 2


def _write(folder: Path, shard: str, **columns: list[Any]) -> None:
    path = folder / f"shard={shard}" / "rows.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(pa.table(columns), path)


def test_a_view_shows_all_shards_without_the_columns_left_out(catalog: Catalog, tmp_path: Path) -> None:
    folder = tmp_path / "it's a ledger" / "image_pairs"
    _write(folder, "shard-000000", pair_id=["a", "b"], kept=[True, False], image=[b"1", b"2"])
    _write(folder, "000001", pair_id=["c"], kept=[True], image=[b"3"])
    catalog.create_view("image_pairs", folder, "shard=*/rows.parquet", ["pair_id", "kept"])
    assert _rows(catalog, "image_pairs") == [
        {"shard": "000001", "pair_id": "c", "kept": True},
        {"shard": "shard-000000", "pair_id": "a", "kept": True},
        {"shard": "shard-000000", "pair_id": "b", "kept": False},
    ]


def test_a_view_over_tables_of_two_versions(catalog: Catalog, tmp_path: Path) -> None:
    folder = tmp_path / "image_pairs"
    _write(folder, "shard-000000", pair_id=["a"], old=[1])
    catalog.create_view("image_pairs", folder, "shard=*/rows.parquet", ["pair_id", "new"])
    assert _rows(catalog, "image_pairs") == [{"shard": "shard-000000", "pair_id": "a"}]
    _write(folder, "shard-000001", new=[2.5], pair_id=["b"])
    catalog.create_view("image_pairs", folder, "shard=*/rows.parquet", ["pair_id", "new"])
    assert _rows(catalog, "image_pairs") == [
        {"shard": "shard-000000", "pair_id": "a", "new": None},
        {"shard": "shard-000001", "pair_id": "b", "new": 2.5},
    ]


def _add_some(path: str, number: int) -> None:
    for count in range(5):
        Catalog(Path(path)).add([_record(f"shard-{number:06d}", finished_at=f"{2000 + count}")])


def test_processes_take_turns(catalog: Catalog) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_add_some, args=(str(catalog.path), number)) for number in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert len(_rows(catalog, "materializations")) == 10


def test_no_lock_or_connection_stays_behind(catalog: Catalog) -> None:
    catalog.add([_record()])
    with duckdb.connect(catalog.path, read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM materializations").fetchall() == [(1,)]
    catalog.path.unlink()
    assert _rows(catalog, "materializations") == []


def test_a_catalog_of_an_older_version_gets_the_columns_it_lacks(catalog: Catalog) -> None:
    catalog.add([_record()])
    with catalog.connect() as connection:
        for column in ("devices", "peak_memory"):
            connection.execute(f"ALTER TABLE materializations DROP COLUMN {column}")
    catalog.add([_record(shard="shard-000001")])
    old, new = _rows(catalog, "materializations")
    assert (old["peak_memory"], json.loads(new["peak_memory"])) == (None, {"image_text_encoder": 1_000_000_000})


def test_a_thousand_shards_are_written_at_once(tmp_path: Path) -> None:
    """Six tables each, with their filters: as Arrow, not one by one, which would take minutes."""
    catalog = Catalog(tmp_path / "catalog.duckdb")
    records = [
        {**_record(), "asset": asset, "shard": f"shard-{number:06d}"} for asset in "abcdef" for number in range(1_000)
    ]
    catalog.replace(records)
    catalog.add(records[:2_000])
    counts = catalog.query("SELECT count(*) AS rows, count(DISTINCT (asset, shard)) AS apart FROM materializations")
    assert counts.to_pylist() == [{"rows": 6_000, "apart": 6_000}]
    statistics = catalog.query("SELECT count(*) AS rows FROM filter_statistics")
    assert statistics.to_pylist() == [{"rows": 6_000 * len(_record()["filters"])}]
