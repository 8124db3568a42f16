"""The index follows the ledger: tables that are replaced, damaged, added and removed."""

import shutil
from collections import Counter
from typing import Any

import pytest

from imgdiff_assets.browser.index import Index
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.reviews import REJECT, Review, add_review
from imgdiff_assets.stages.graph import COMMON_NAMES as STAGE_NAMES
from imgdiff_assets.stages.graph import COMMON_STAGES as STAGES
from imgdiff_assets.stages.stage import Stage

SHARDS = ["shard-000000", "shard-000001"]


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_every_row_is_there_with_its_place(drawn_home: Home, stage: Stage) -> None:
    index = Index(drawn_home)
    assert index.shards() == SHARDS
    rows = index.rows(f"SELECT * FROM {stage.name} ORDER BY shard, row")
    stored = [
        {**row, "shard": key, "row": place}
        for key in SHARDS
        for place, row in enumerate(Ledger(drawn_home.ledger).read(stage.name, key, stage.schema).to_pylist())
    ]
    names = [name for name in [*stage.schema.names, "shard", "row"] if name in (rows or [{}])[0]]
    assert stored or stage.name.startswith("remov"), "the recipe erases nothing"
    assert [{name: row[name] for name in names} for row in rows] == [
        {name: row[name] for name in names} for row in stored
    ]


def test_a_table_that_is_replaced_is_read_anew(own_home: Home, commit_rows: Any) -> None:
    index, ledger, stage = Index(own_home), Ledger(own_home.ledger), STAGES[0]
    before = index.rows("SELECT count(*) AS n FROM prompt_pairs")[0]["n"]
    rows = ledger.read(stage.name, SHARDS[1], stage.schema).to_pylist()[:1]
    commit_rows(ledger, stage.name, SHARDS[1], rows)
    assert index.rows("SELECT count(*) AS n FROM prompt_pairs")[0]["n"] == before, "not looked at every time"
    index.refresh(at_once=True)
    counts = Counter(row["shard"] for row in index.rows("SELECT shard FROM prompt_pairs"))
    assert counts == {SHARDS[0]: before - 2, SHARDS[1]: 1}


def test_a_damaged_table_is_told_and_comes_back(own_home: Home) -> None:
    index, path = Index(own_home), Ledger(own_home.ledger).table_path("captions", SHARDS[0])
    index.refresh()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    index.refresh(at_once=True)
    assert list(index.damaged) == [("captions", SHARDS[0])]
    assert {row["shard"] for row in index.rows("SELECT shard FROM captions")} == {SHARDS[1]}
    path.write_bytes(whole)
    index.refresh(at_once=True)
    assert index.damaged == {}
    assert {row["shard"] for row in index.rows("SELECT shard FROM captions")} == set(SHARDS)


def test_tables_that_go_are_forgotten(own_home: Home) -> None:
    index = Index(own_home)
    index.refresh()
    shutil.rmtree(own_home.ledger / "fine_tune_set")
    index.refresh(at_once=True)
    assert index.rows("SELECT count(*) AS n FROM fine_tune_set") == [{"n": 0}]
    assert index.rows("SELECT count(*) AS n FROM materialized WHERE asset = 'fine_tune_set'") == [{"n": 0}]
    assert index.shards() == SHARDS


def test_reviews_are_followed(own_home: Home) -> None:
    index = Index(own_home)
    assert index.rows("SELECT * FROM reviewed") == []
    add_review(own_home, Review("0123456789abcdef", SHARDS[0], "Ann", REJECT))
    index.refresh(at_once=True)
    assert index.rows("SELECT * FROM reviewed") == [{"sample_id": "0123456789abcdef", "review": REJECT}]


def test_some_shards_alone(drawn_home: Home) -> None:
    index = Index(drawn_home, SHARDS[1:])
    assert index.shards() == SHARDS[1:]
    for name in STAGE_NAMES[:5]:
        assert {row["shard"] for row in index.rows(f"SELECT shard FROM {name}")} == {SHARDS[1]}


def test_a_home_with_nothing_in_it(tmp_path: object) -> None:
    index = Index(Home(tmp_path / "none"))  # type: ignore[operator]
    assert index.shards() == []
    assert all(index.rows(f"SELECT count(*) AS n FROM {name}") == [{"n": 0}] for name in STAGE_NAMES)
