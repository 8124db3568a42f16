"""Each invariant holds of a sound ledger, and names the rows of a fault that is planted."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from imgdiff_assets.defs.asset_stage import refuse_blind_filters
from imgdiff_assets.defs.checks import ALL_INVARIANTS, CHECKSUMS, stage_checks
from imgdiff_assets.defs.names import PLAIN
from imgdiff_assets.defs.whole_graph import build_definitions
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.checked_file import DamagedTable
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.reading.scan import ask, scan
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import COMMON_STAGES as STAGES
from imgdiff_assets.stages.graph import stage_named
from imgdiff_assets.statistics import table_checks
from imgdiff_assets.statistics.table_checks import INVARIANTS
from tests.imgdiff_assets.conftest import with_images

SHARDS = ["shard-000000", "shard-000001"]
BY_NAME = {invariant.name: invariant for invariant in INVARIANTS}
Change = Callable[[list[dict[str, Any]]], None]


def violations(home: Home, name: str, stage: str) -> list[dict[str, Any]]:
    return list(BY_NAME[name].violations(stage_named(stage), Ledger(home.ledger), SHARDS))


def edit(home: Home, stage: str, change: Change, shard: str = SHARDS[0]) -> None:
    """Rewrite a table with its record as it was, rows changed by `change`."""
    path = Ledger(home.ledger).table_path(stage, shard)
    table = with_images(Path(path))
    rows = table.to_pylist()
    change(rows)
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)


def kept(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return next(row for row in rows if row["kept"])


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_a_sound_ledger_violates_nothing(drawn_home: Home, stage: Any) -> None:
    concerning = [invariant for invariant in ALL_INVARIANTS if invariant.concerns(stage)]
    assert concerning
    for invariant in concerning:
        assert list(invariant.violations(stage, Ledger(drawn_home.ledger), SHARDS)) == [], invariant.name


@pytest.mark.parametrize(
    ("kind", "column", "problem"),
    [
        (lambda row: row["erased_from"], "region_id", "removal_captions has no such region_id"),
        (lambda row: row["region_id"] is None, "pair_id", "filtered_pairs has no such pair_id"),
        (lambda row: row["region_id"] and not row["erased_from"], "region_id", "captions has no such region_id"),
    ],
    ids=["erased", "pair", "region"],
)
def test_a_sample_without_its_parent_is_found(
    whole_home: Home, tmp_path: Path, kind: Callable[[Any], Any], column: str, problem: str
) -> None:
    home = Home(Path(shutil.copytree(whole_home.root, tmp_path / "home")))
    changed: list[str] = []

    def change(rows: list[dict[str, Any]]) -> None:
        row = next(row for row in rows if row["kept"] and kind(row))
        row[column] = "0" * 16
        changed.append(row["sample_id"])

    edit(home, "fine_tune_set", change)
    found = violations(home, "no_orphans", "fine_tune_set")
    assert [(row["sample_id"], row["shard"], row["problem"]) for row in found] == [(changed[0], SHARDS[0], problem)]


def test_a_region_of_another_branch_is_no_parent(whole_home: Home, tmp_path: Path) -> None:
    """One region may be captioned and erased: a sample of the erased one is not made of the caption."""
    home = Home(Path(shutil.copytree(whole_home.root, tmp_path / "home")))
    ledger = Ledger(home.ledger)
    captioned = {row["region_id"] for row in ledger.read("captions", SHARDS[0]).to_pylist()}
    samples = scan(ledger, "fine_tune_set", ["region_id"], pc.field("erased_from").is_valid(), [SHARDS[0]]).to_pylist()
    both = sorted({row["region_id"] for row in samples} & captioned)
    assert both
    edit(home, "removal_captions", lambda rows: rows.remove(next(row for row in rows if row["region_id"] == both[0])))
    problems = {(row["region_id"], row["problem"]) for row in violations(home, "no_orphans", "fine_tune_set")}
    assert problems == {(both[0], "removal_captions has no such region_id")}


def test_every_number_between_models_and_filters_has_a_range() -> None:
    """A new score needs one too: else it would go unchecked."""
    for stage in STAGES:
        for step in stage.filters:
            column = stage.schema.field(step.score) if step.score in stage.schema.names else None
            if column is not None and pa.types.is_floating(column.type):
                assert stage.range_of(column.name), f"{stage.name}.{column.name}"


def set_value(column: str, value: Any) -> Change:
    def change(rows: list[dict[str, Any]]) -> None:
        kept(rows)[column] = value

    return change


def repeat_a_row(rows: list[dict[str, Any]]) -> None:
    rows.append(dict(kept(rows)))


def cut_an_image(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        if row["target_image"]:
            row["target_image"]["bytes"] = row["target_image"]["bytes"][:-40]


def swap_the_images(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        row["source_image"], row["target_image"] = row["target_image"], row["source_image"]


@pytest.mark.parametrize(
    ("name", "stage", "change", "problem"),
    [
        ("ids_unique", "prompt_pairs", repeat_a_row, "another row has the same id"),
        ("ids_unique", "fine_tune_set", repeat_a_row, "another row has the same id"),
        ("no_orphans", "filtered_pairs", set_value("pair_id", "0" * 16), "image_pairs has no such pair_id"),
        ("no_orphans", "captions", set_value("region_id", "0" * 16), "bounding_boxes has no such region_id"),
        ("images_decode", "image_pairs", cut_an_image, "the target image does not decode"),
        ("images_decode", "image_pairs", swap_the_images, "has other pixels than it was recorded with"),
        ("scores_in_range", "filtered_pairs", set_value("image_similarity", 1.5), "image_similarity is 1.5"),
        ("scores_in_range", "filtered_pairs", set_value("image_similarity", None), "image_similarity is None"),
        ("scores_in_range", "filtered_pairs", set_value("image_similarity", float("nan")), "image_similarity is nan"),
        ("scores_in_range", "bounding_boxes", set_value("source_match_itm", -0.5), "source_match_itm is -0.5"),
        ("scores_in_range", "fine_tune_set", set_value("match_margin", 3.0), "match_margin is 3.0"),
        ("scores_in_range", "captions", set_value("caption_similarity", None), "caption_similarity is None"),
        ("boxes_inside_the_image", "bounding_boxes", set_value("x2", 9999.0), "in an image of 64 × 64"),
        ("boxes_inside_the_image", "captions", set_value("y2", 0.0), "in an image of"),
        ("boxes_inside_the_image", "fine_tune_set", set_value("x1", -5.0), "box -5"),
    ],
)
def test_a_planted_fault_is_found_with_its_row(
    own_home: Home, name: str, stage: str, change: Change, problem: str
) -> None:
    edit(own_home, stage, change)
    found = violations(own_home, name, stage)
    assert found
    assert all(row["shard"] == SHARDS[0] for row in found)
    assert problem in found[0]["problem"]
    assert found[0][stage_named(stage).id_column]


def test_an_id_is_found_in_another_shard_too(own_home: Home) -> None:
    row = kept(Ledger(own_home.ledger).read("captions", SHARDS[0]).to_pylist())
    edit(own_home, "captions", set_value("region_id", row["region_id"]), SHARDS[1])
    found = violations(own_home, "ids_unique", "captions")
    assert [(one["shard"], one["region_id"]) for one in found] == [(shard, row["region_id"]) for shard in SHARDS]


@pytest.mark.parametrize("name", ["ids_unique", "no_caption_in_two_splits"])
def test_a_damaged_table_is_named_with_what_to_do(own_home: Home, name: str) -> None:
    Ledger(own_home.ledger).table_path("fine_tune_set", SHARDS[1]).write_bytes(b"PAR1 half a table")
    with pytest.raises(DamagedTable, match=r"fine_tune_set.*shard-000001.* is damaged: .*`imgdiff ledger verify`"):
        violations(own_home, name, "fine_tune_set")
    assert list(BY_NAME[name].violations(stage_named("fine_tune_set"), Ledger(own_home.root / "none"), [])) == []


@pytest.mark.parametrize("name", ["ids_unique", "no_caption_in_two_splits"])
def test_all_shards_are_read_again_once_a_table_is_another(
    own_home: Home, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in SHARDS:
        os.utime(Ledger(own_home.ledger).table_path("fine_tune_set", key), (1e9, 1e9))
    reading: list[str] = []
    monkeypatch.setattr(table_checks, "ask", lambda *asked: reading.append(asked[-1]) or ask(*asked))
    for _ in range(2):
        assert violations(own_home, name, "fine_tune_set") == []
    assert len(reading) == 1
    edit(own_home, "fine_tune_set", lambda rows: rows.append({**kept(rows), "split": "held out"}))
    for times in (2, 3):  # what was written just now is not remembered
        assert violations(own_home, name, "fine_tune_set")
        assert len(reading) == times


def test_a_caption_in_two_splits_is_found_even_across_shards(own_home: Home) -> None:
    ledger = Ledger(own_home.ledger)
    caption = kept(ledger.read("fine_tune_set", SHARDS[0]).to_pylist())
    other = "train" if caption["split"] == "validation" else "validation"

    def move(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            row.update(caption_id=caption["caption_id"], split=other)

    edit(own_home, "fine_tune_set", move, SHARDS[1])
    (found,) = violations(own_home, "no_caption_in_two_splits", "fine_tune_set")
    assert found == {"caption_id": caption["caption_id"], "problem": "is in train and in validation"}


def run_checks(home: Home, recipe: Recipe, *stages: str) -> dict[str, dg.AssetCheckEvaluation]:
    """The checks of some stages, as Dagster runs them by themselves: over all shards."""
    definitions = build_definitions(home, recipe)
    job = definitions.resolve_implicit_global_asset_job_def()
    keys = {key for stage in stages for key in stage_checks(stage_named(stage), PLAIN).check_keys}
    subset = job.get_subset(asset_selection=set(), asset_check_selection=keys)
    result = subset.execute_in_process(raise_on_error=False)
    return {evaluation.check_name: evaluation for evaluation in result.get_asset_check_evaluations()}


def test_checks_show_the_offending_rows_and_say_which_warn(own_home: Home, drawn_recipe: Recipe) -> None:
    edit(own_home, "filtered_pairs", set_value("image_similarity", 1.5))
    strict = drawn_recipe.model_copy(update={"kept_share": {"filtered_pairs": (0.99, 1.0)}})
    results = run_checks(own_home, strict, "filtered_pairs")
    # The record is no longer true of the rows, which is seen on the night when it is the shard's turn.
    failed = {name for name, result in results.items() if not result.passed} - {CHECKSUMS}
    assert failed == {"scores_in_range", "kept_share", "stale"}
    (row,) = results["scores_in_range"].metadata["rows"].records
    assert row.data["problem"].startswith("image_similarity is 1.5")
    assert row.data["shard"] == SHARDS[0]
    assert results["scores_in_range"].severity == dg.AssetCheckSeverity.ERROR
    assert results["kept_share"].severity == dg.AssetCheckSeverity.WARN
    assert "the filter too_" in results["kept_share"].metadata["shards"].records[0].data["problem"]
    assert results["canaries"].passed
    assert results["stale"].severity == dg.AssetCheckSeverity.WARN
    assert "image_text_encoder: other weights" in results["stale"].metadata["stale"].records[0].data["because"]


def test_findings_of_several_kinds_are_shown_together(whole_home: Home, drawn_recipe: Recipe, tmp_path: Path) -> None:
    """Samples of a pair and of a region lack different parents; and two checks fail at once."""
    home = Home(Path(shutil.copytree(whole_home.root, tmp_path / "home")))

    def change(rows: list[dict[str, Any]]) -> None:
        samples = [row for row in rows if row["kept"] and not row["erased_from"]]
        next(row for row in samples if row["region_id"] is None)["pair_id"] = "0" * 16
        next(row for row in samples if row["region_id"])["region_id"] = "0" * 16
        samples[-1]["match_margin"] = 3.0

    edit(home, "fine_tune_set", change)
    results = run_checks(home, drawn_recipe, "fine_tune_set")
    assert {name for name, result in results.items() if not result.passed} >= {"no_orphans", "scores_in_range"}
    rows = [row.data for row in results["no_orphans"].metadata["rows"].records]
    assert {row["problem"] for row in rows} == {
        "filtered_pairs has no such pair_id",
        "captions has no such region_id",
    }


def test_a_blind_filter_fails_its_check_and_the_stages_below(own_home: Home, drawn_recipe: Recipe) -> None:
    blind = next(step for step in stage_named("filtered_pairs").filters if step.name == "too_different")
    sees = blind.passes
    object.__setattr__(
        blind, "passes", lambda columns, settings: np.ones(len(columns["image_similarity"]), dtype=bool)
    )
    try:
        results = run_checks(own_home, drawn_recipe, "filtered_pairs")
        with pytest.raises(dg.Failure, match="the filter too_different keeps a row that it must reject"):
            refuse_blind_filters(stage_named("bounding_boxes"), drawn_recipe)
    finally:
        object.__setattr__(blind, "passes", sees)
    refuse_blind_filters(stage_named("bounding_boxes"), drawn_recipe)
    assert not results["canaries"].passed
    assert "keeps a row that it must reject" in results["canaries"].metadata["rows"].records[0].data["problem"]
