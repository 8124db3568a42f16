"""The samples of all tasks that the real stages make, and the invariants that find what is wrong with a sample."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgdiff_assets.home import Home
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.lineage.lineage import lineage
from imgdiff_assets.method.conversations import split
from imgdiff_assets.method.near_duplicates import SIGNATURE_COLUMNS, signatures
from imgdiff_assets.method.tasks import LATER, LETTERS, SAME, SIDES, TASKS
from imgdiff_assets.reading.samples import read_samples
from imgdiff_assets.recipe.overrides import override_recipe
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.fine_tune_set import STAGE
from imgdiff_assets.stages.sample_items import TaskFailed
from imgdiff_assets.statistics.sample_checks import (
    boxes_outside,
    identical_images,
    near_duplicates,
    on_both_sides,
    violations,
    wrong_sides,
)

SHARDS = ["shard-000000", "shard-000001"]
Rows = list[dict[str, Any]]


def rows_of(home: Home, asset: str = "fine_tune_set", shards: Sequence[str] = SHARDS) -> Rows:
    return [row for shard in shards for row in Ledger(home.ledger).read(asset, shard).to_pylist()]


def test_every_task_has_samples_of_its_own(task_home: Home) -> None:
    rows = [row for row in rows_of(task_home) if row["kept"]]
    # No pair of this home has two kept regions.
    assert {row["task"] for row in rows} == set(TASKS) - {"differences"}
    assert len({row["sample_id"] for row in rows}) == len(rows)
    regions = {row["region_id"]: row for row in rows_of(task_home, "captions")}
    pairs = {row["pair_id"]: row for row in rows_of(task_home, "filtered_pairs")}
    for row in rows:
        human, gpt = (turn["value"] for turn in row["conversations"])
        assert human.count("<image>") == 2
        assert gpt == row["answer"]
        assert row["subject"] is None or row["subject"].lower() in human.lower()
        assert "{" not in human
        if row["region_id"] is None:
            assert row["task"] == "same_or_different"
            assert row["answer"] in SAME
            assert pairs[row["pair_id"]]["rejected_by"] == "too_similar"
        else:
            assert regions[row["region_id"]]["kept"]
        if row["task"] == "which_image":
            shown = (
                row["first"] if row["answer"] == LETTERS[0] else next(side for side in SIDES if side != row["first"])
            )
            caption = regions[row["region_id"]][f"{shown}_region_caption"]
            assert row["subject"] == caption.lower()
    once = [row["pair_id"] for row in rows if row["task"] == "edit_instruction"]
    assert len(set(once)) == len(once)


def test_true_negatives_are_the_pairs_that_are_too_similar(task_home: Home) -> None:
    rows = rows_of(task_home)
    same = {row["pair_id"] for row in rows if row["answer"] in SAME}
    assert same == {
        row["pair_id"] for row in rows_of(task_home, "filtered_pairs") if row["rejected_by"] == "too_similar"
    }
    assert same
    assert not [row for row in rows if row["pair_id"] in same and row["answer"] not in SAME]


def test_less_similar_pairs_are_not_called_the_same(
    own_home: Home, task_recipe: Recipe, run_stages: Any, drawn_home: Home
) -> None:
    strict = override_recipe(
        task_recipe, ["filtered_pairs.max_similarity=0.8", "fine_tune_set.min_same_similarity=0.95"]
    )
    run_stages(own_home, strict, SHARDS, ["filtered_pairs", "bounding_boxes", "captions", "fine_tune_set"])
    rows = [row for row in rows_of(own_home) if row["answer"] in SAME]
    verdicts = {row["rejected_by"] for row in rows if row["same_similarity"] < 0.95}
    assert verdicts == {"not_the_same"}


def test_an_answer_that_the_matcher_does_not_see_is_rejected(
    own_home: Home, task_recipe: Recipe, run_stages: Any
) -> None:
    asking = override_recipe(task_recipe, ["fine_tune_set.min_match_margin=0.01"])
    with pytest.raises(TaskFailed, match="materialise captions again, then fine_tune_set"):
        run_stages(own_home, asking, SHARDS, ["fine_tune_set"])
    run_stages(own_home, asking, SHARDS, ["captions", "fine_tune_set"])
    rows = [row for row in rows_of(own_home) if row["task"] == "which_image"]
    assert rows
    for row in rows:
        assert (row["rejected_by"] == "answer_not_seen") == (row["match_margin"] < 0.01)
    assert all(row["match_margin"] is None for row in rows_of(own_home) if row["task"] != "which_image")


def test_a_task_switched_on_measures_no_sample_of_another_again(
    own_home: Home, task_recipe: Recipe, run_stages: Any
) -> None:
    before = {row["sample_id"] for row in rows_of(own_home)}
    run_stages(own_home, task_recipe, SHARDS, ["captions", "fine_tune_set"])
    record = Ledger(own_home.ledger).record("fine_tune_set", SHARDS[0])
    assert record is not None
    rows = {row["sample_id"]: row for row in rows_of(own_home, shards=SHARDS[:1])}
    assert before & rows.keys()
    assert record["reused"] == len(before & rows.keys())


def test_a_sample_of_a_whole_pair_has_its_lineage(task_home: Home, task_recipe: Recipe) -> None:
    sample = next(row for row in rows_of(task_home) if row["region_id"] is None)
    tree = lineage(task_home, task_recipe, sample["sample_id"])
    tables = []
    while tree.children:
        tree = tree.children[-1]
        tables.append(tree.table)
    assert tables == ["prompt_pairs", "image_pairs", "filtered_pairs", "fine_tune_set"]
    assert tree.asked_for


def test_near_duplicates_of_the_validation_split_do_not_train(
    own_home: Home, task_recipe: Recipe, run_stages: Any
) -> None:
    """Whatever the limits are, the pairs left over are those the invariant finds nothing wrong with."""
    seeded = override_recipe(task_recipe, ["seed=3"])
    run_stages(own_home, seeded, SHARDS, ["captions", "fine_tune_set"])
    before = rows_of(own_home)
    near = override_recipe(seeded, ["fine_tune_set.max_validation_similarity=0.3"])
    run_stages(own_home, near, SHARDS, ["captions", "fine_tune_set"])
    rows = rows_of(own_home)
    rejected = [row for row in rows if row["rejected_by"] == "near_validation"]
    assert rejected
    assert all(row["split"] == "train" and row["validation_similarity"] >= 0.3 for row in rejected)
    assert [row["split"] for row in rows] == [row["split"] for row in before], "no caption has moved"
    kept = [{row["sample_id"] for row in table if row["kept"]} for table in (before, rows)]
    assert kept[0] - kept[1] == {row["sample_id"] for row in rejected}
    for shard in SHARDS:
        assert violations(Ledger(own_home.ledger), shard) == []


def test_what_the_stages_make_violates_nothing(task_home: Home) -> None:
    for shard in SHARDS:
        assert violations(Ledger(task_home.ledger), shard) == []


def corrupted(home: Home, **changes: Any) -> list[str]:
    """The invariants found violated after the kept rows of one task got other values."""
    ledger = Ledger(home.ledger)
    task = changes.pop("task")
    rows = [
        {**row, **changes} if row["kept"] and row["task"] == task else row
        for row in ledger.read("fine_tune_set", SHARDS[0]).to_pylist()
    ]
    return sorted(
        {
            finding["invariant"]
            for finding in [
                *wrong_sides(rows, {row["pair_id"]: row for row in rows_of(home, "prompt_pairs")}),
                *identical_images(rows),
                *boxes_outside(rows),
                *on_both_sides([row for row in rows if row["kept"]]),
            ]
        }
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"task": "which_image", "answer": "B", "first": "source", "about": "source"}, ["wrong_side"]),
        ({"task": "edit_instruction", "answer": "Replace the cup with a ball."}, ["wrong_side"]),
        ({"task": "difference", "source_hash": "x", "target_hash": "x"}, ["identical_images"]),
        ({"task": "same_or_different", "source_hash": "x", "target_hash": "x", "answer": "Same."}, []),
        ({"task": "grounding", "x2": 10_000.0}, ["box_outside"]),
        ({"task": "grounding", "x1": None}, ["box_outside"]),
        ({"task": "difference", "x1": 5.0, "x2": 5.0}, ["box_outside"]),
        ({"task": "difference", "split": "train"}, ["caption_on_both_sides"]),
    ],
)
def test_each_invariant_finds_its_own_offence(task_home: Home, changes: dict[str, Any], expected: list[str]) -> None:
    found = corrupted(task_home, **changes)
    assert [name for name in found if name != "image_on_both_sides"] == expected


@given(data=st.data())
def test_no_image_is_on_both_sides(data: st.DataObject) -> None:
    """Rows with few captions and images, as chance has it: what is found is what is there."""
    count = data.draw(st.integers(1, 6))
    rows = [
        {
            "sample_id": str(index),
            "task": "difference",
            "pair_id": str(index),
            "caption_id": data.draw(st.sampled_from("abcd")),
            "source_hash": data.draw(st.sampled_from("123456")),
            "target_hash": data.draw(st.sampled_from("123456")),
            "split": data.draw(st.sampled_from(["train", "validation"])),
        }
        for index in range(count)
    ]
    found = {finding["sample_id"] for finding in on_both_sides(rows)}
    for row in rows:
        others = [other for other in rows if other["split"] == "validation" != row["split"]]
        images = {row["source_hash"], row["target_hash"]}
        shared = any(
            row["caption_id"] == other["caption_id"] or images & {other["source_hash"], other["target_hash"]}
            for other in others
        )
        assert (row["sample_id"] in found) == shared


def test_a_near_duplicate_is_found_by_hash_and_by_vector() -> None:
    chance = np.random.default_rng(3)
    images = chance.integers(0, 256, (6, 16, 16, 3), np.uint8)
    vectors = np.eye(6, dtype=np.float32)
    images[2] = images[0]
    vectors[4] = vectors[1]
    signed = [[row[name] for name in SIGNATURE_COLUMNS] for row in signatures(list(images), vectors)]
    rows = [
        {"sample_id": name, "task": "difference", "pair_id": name, "split": split}
        for name, split in (("held out", "validation"), ("same hash", "train"), ("same vector", "train"))
    ]
    by_pair = dict(zip(["held out", "same hash", "same vector"], signed, strict=True))
    assert [row["sample_id"] for row in near_duplicates(rows, by_pair, 1, 1.01)] == ["same hash"]
    assert [row["sample_id"] for row in near_duplicates(rows, by_pair, 0, 0.99)] == ["same vector"]
    assert near_duplicates(rows, by_pair, 0, 1.01) == []


def test_samples_are_read_by_task(task_home: Home) -> None:
    ledger = Ledger(task_home.ledger)
    everything = read_samples(ledger, SHARDS[0])
    some = read_samples(ledger, SHARDS[0], ["grounding", "commonality"])
    assert some == [sample for sample in everything if sample.task in ("grounding", "commonality")]
    assert {sample.task for sample in some} == {"grounding", "commonality"}
    assert all((sample.box is None) == (sample.region_id is None) for sample in everything)


def test_the_split_is_by_caption_and_seed(task_home: Home, task_recipe: Recipe) -> None:
    for row in rows_of(task_home):
        assert row["split"] == split(row["caption_id"], task_recipe.seed, 0.5)
    assert STAGE.settings(task_recipe).questions.keys() == TASKS.keys() - LATER.keys()
