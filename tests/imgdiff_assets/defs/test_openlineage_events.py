"""OpenLineage's events, as its own client writes them to a file."""

import json
from pathlib import Path

import pytest

from imgdiff_assets.defs.openlineage_events import asked_for, emit
from imgdiff_assets.engine.record import Materialization
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.stages.graph import stage_named

SHARD = "shard-000000"


def test_a_table_is_told_of_with_its_columns_and_what_it_was_made_of(
    drawn_home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not asked_for()
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__TYPE", "file")
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__LOG_FILE_PATH", str(tmp_path / "events.json"))
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__APPEND", "true")
    assert asked_for()
    stage, ledger = stage_named("bounding_boxes"), Ledger(drawn_home.ledger)
    record = Materialization.from_json(ledger.record(stage.name, SHARD) or {})
    emit(record, stage, ledger)
    emit(record, stage, ledger)
    event, again = map(json.loads, (tmp_path / "events.json").read_text(encoding="utf-8").splitlines())
    assert event["run"]["runId"] == again["run"]["runId"]
    assert (event["eventType"], event["eventTime"]) == ("COMPLETE", record.finished_at)
    assert event["job"]["name"] == "bounding_boxes"
    assert [data["name"] for data in event["inputs"]] == [str(ledger.table_path(name, SHARD)) for name in stage.tables]
    (output,) = event["outputs"]
    assert output["name"] == str(ledger.table_path(stage.name, SHARD))
    assert output["outputFacets"]["outputStatistics"]["rowCount"] == record.rows
    fields = output["facets"]["schema"]["fields"]
    assert [field["name"] for field in fields] == stage.schema.names
    assert all(field["description"] for field in fields)
