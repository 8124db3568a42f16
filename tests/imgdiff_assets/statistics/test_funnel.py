"""The funnel against a plain recount of the tables."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imgdiff_assets.home import Home
from imgdiff_assets.ledger import memory
from imgdiff_assets.ledger.checked_file import DamagedTable
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.recipe.overrides import override_recipe
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import COMMON_NAMES as STAGE_NAMES
from imgdiff_assets.stages.graph import stage_named, stages_of
from imgdiff_assets.statistics.funnel import Funnel, funnel

SHARDS = ["shard-000000", "shard-000001"]


def rows_of(ledger: Ledger, asset: str, shards: list[str]) -> list[dict[str, Any]]:
    return [row for shard in shards for row in ledger.read(asset, shard).to_pylist()]


@pytest.mark.parametrize("shards", [SHARDS, SHARDS[:1], SHARDS[1:]])
def test_counts_are_those_of_the_tables(drawn_home: Home, drawn_recipe: Recipe, shards: list[str]) -> None:
    ledger = Ledger(drawn_home.ledger)
    result = funnel(ledger, shards)
    assert tuple(stage.stage for stage in result.stages) == STAGE_NAMES
    for stage, definition in zip(result.stages, stages_of(drawn_recipe), strict=True):
        rows = rows_of(ledger, stage.stage, shards)
        verdicts = Counter(row["rejected_by"] for row in rows)
        errors = {name: count for name, count in verdicts.items() if str(name).startswith("error:")}
        assert stage.rows == len(rows)
        assert stage.kept == sum(row["kept"] for row in rows) == verdicts[None]
        assert stage.rejected == {step.name: verdicts[step.name] for step in definition.filters}
        assert list(stage.rejected) == [step.name for step in definition.filters], "in the order of the filters"
        assert stage.errors == {name.removeprefix("error:"): count for name, count in errors.items()}
        assert stage.rows == stage.kept + sum(stage.rejected.values()) + sum(stage.errors.values())
        assert stage.rows_in == len({definition.row_above(row) for row in rows})


def test_each_stage_is_given_what_the_one_before_kept(drawn_home: Home) -> None:
    result = funnel(Ledger(drawn_home.ledger))
    assert result.captions == 12
    kept = {stage.stage: stage.kept for stage in result.stages}
    for stage in result.stages[1:]:
        if stage.stage != "removed_pairs":
            above = [origin.table for origin in stage_named(stage.stage).above if not origin.rejected_by]
            assert stage.rows_in == sum(kept.get(table, 0) for table in above)
    assert result.samples == result.stages[-1].kept > 0


def test_planted_rows_are_counted_under_their_reasons(drawn_home: Home) -> None:
    stages = {stage.stage: stage for stage in funnel(Ledger(drawn_home.ledger)).stages}
    for reason in ("unknown_words", "unchanged", "about_the_task"):
        assert stages["prompt_pairs"].rejected[reason] == 1
    assert stages["image_pairs"].errors == {"out_of_memory": 1}
    assert stages["filtered_pairs"].rejected == {"too_different": 1, "too_similar": 1}
    assert stages["bounding_boxes"].rejected["too_small"] > 0


def test_shards_add_up(drawn_home: Home) -> None:
    ledger = Ledger(drawn_home.ledger)
    whole, *parts = (funnel(ledger, shards) for shards in (SHARDS, SHARDS[:1], SHARDS[1:]))
    for index, stage in enumerate(whole.stages):
        assert stage.rows == sum(part.stages[index].rows for part in parts)
        assert stage.kept == sum(part.stages[index].kept for part in parts)


def test_rows_of_parents_rejected_since_are_counted_apart(
    own_home: Home, drawn_recipe: Recipe, run_stages: Any
) -> None:
    ledger = Ledger(own_home.ledger)
    before = funnel(ledger)
    stricter = override_recipe(drawn_recipe, ["filtered_pairs.min_similarity=0.9999"])
    run_stages(own_home, stricter, SHARDS, STAGE_NAMES)
    after = funnel(ledger)
    assert after.samples < before.samples
    boxes = after.stages[3]
    assert boxes.upstream == before.stages[3].rows - boxes.rows > 0
    assert boxes.rows_in == after.stages[2].kept
    assert "set aside" in _joined(after)


def test_the_text_fits_and_names_every_reason(drawn_home: Home) -> None:
    result = funnel(Ledger(drawn_home.ledger))
    for width in (85, 100, 200):
        assert max(map(len, result.to_text(width).splitlines())) <= width
    text = _joined(result)
    for stage in result.stages:
        for name, count in stage.rejected.items():
            assert (f"{name} {count}" in text) == (count > 0)
    assert "error out_of_memory 1" in text
    assert f"12 captions in 2 shards gave {result.samples} samples" in text


def test_shards_that_are_not_made_are_told(drawn_home: Home) -> None:
    text = funnel(Ledger(drawn_home.ledger), [*SHARDS, "shard-000002"]).to_text(200)
    assert f"{', '.join(STAGE_NAMES)}: 2 of 3 shards made" in text


def test_json_says_the_same(drawn_home: Home) -> None:
    result = funnel(Ledger(drawn_home.ledger))
    value = json.loads(json.dumps(result.to_json()))
    assert (value["captions"], value["samples"], value["shards"]) == (12, result.samples, SHARDS)
    for stage, entry in zip(result.stages, value["stages"], strict=True):
        assert entry["kept"] == stage.kept
        assert entry["rejected"] == stage.rejected
        assert entry["keep_rate"] == (pytest.approx(stage.kept / stage.rows) if stage.rows else None)


def test_an_empty_ledger_is_a_funnel_of_zeros(tmp_path: Path) -> None:
    result = funnel(Ledger(tmp_path))
    assert (result.captions, result.samples) == (0, 0)
    assert all(stage.keep_rate is None for stage in result.stages)
    assert "0 captions in 0 shards gave 0 samples." in result.to_text(100)


def test_a_damaged_table_is_named(own_home: Home) -> None:
    ledger = Ledger(own_home.ledger)
    path = ledger.table_path("captions", SHARDS[1])
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DamagedTable, match=r"captions/.*is damaged.*imgdiff ledger verify"):
        funnel(ledger)


def _joined(result: Funnel) -> str:
    return " ".join(result.to_text(100).replace("\xa0", " ").split())


def test_what_was_counted_is_counted_again_when_a_table_is_another(
    own_home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "YOUNG_SECONDS", 0.0)
    ledger, read = Ledger(own_home.ledger), []
    before = Ledger.read

    def counted(self: Ledger, asset: str, *others: Any, **options: Any) -> Any:
        read.append(asset)
        return before(self, asset, *others, **options)

    monkeypatch.setattr(Ledger, "read", counted)
    first = funnel(ledger, SHARDS)
    assert read
    read.clear()
    assert funnel(ledger, SHARDS) == first
    assert not read
    assert funnel(ledger, SHARDS, anew=True) == first
    assert read, "a release goes by what is on disk"
    assert funnel(ledger, SHARDS[:1]) != first, "of other shards"
    rows = before(ledger, "captions", SHARDS[0])
    ledger.keep_rows("captions", SHARDS[0], np.arange(len(rows)) > 0, ledger.record("captions", SHARDS[0]))
    changed = funnel(ledger, SHARDS)
    assert [stage.rows for stage in changed.stages] != [stage.rows for stage in first.stages]
    Path(ledger.table_path("captions", SHARDS[1])).unlink()
    gone = next(stage for stage in funnel(ledger, SHARDS).stages if stage.stage == "captions")
    assert gone.shards == 1
    path = Path(ledger.table_path("captions", SHARDS[0]))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DamagedTable):
        funnel(ledger, SHARDS)


def test_of_tables_written_just_now_nothing_is_remembered(own_home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "YOUNG_SECONDS", 1e9)
    before = set(own_home.local.glob("cache/funnel/*"))  # of the home that it is a copy of
    funnel(Ledger(own_home.ledger), SHARDS)
    assert set(own_home.local.glob("cache/funnel/*")) == before
