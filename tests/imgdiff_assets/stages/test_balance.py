"""A balanced set: what is left out stays in the table with its reason, and is told beforehand."""

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from imgdiff_assets.home import Home
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.recipe.mistakes import RecipeError
from imgdiff_assets.recipe.overrides import override_recipe
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.canaries import mistakes
from imgdiff_assets.stages.graph import stage_named
from imgdiff_assets.what_if.judgement import StoredScores

SHARDS = ("shard-000000", "shard-000001")
BALANCED = (
    "fine_tune_set.balance={}",
    "fine_tune_set.balance.shares={task: {difference: 1, which_image: 1, grounding: 1}}",
    "fine_tune_set.balance.caps={task: 3}",
)
BY_SORT = ("fine_tune_set.validation_by=[task]", "fine_tune_set.validation_fraction=0.5")


@pytest.fixture
def balanced(
    task_home: Home, task_recipe: Recipe, run_stages: Callable[..., None], tmp_path: Path
) -> Callable[..., tuple[Home, Recipe]]:
    """`balanced(*overrides)`: the samples of every task, made so."""

    def make(*overrides: str) -> tuple[Home, Recipe]:
        root = tmp_path / str(len(list(tmp_path.iterdir())))
        home, recipe = Home(Path(shutil.copytree(task_home.root, root))), override_recipe(task_recipe, overrides)
        run_stages(home, recipe, SHARDS, ["fine_tune_set"], "run-2")
        return home, recipe

    return make


def samples(home: Home) -> list[dict[str, Any]]:
    ledger = Ledger(home.ledger)
    return [row | {"shard": shard} for shard in SHARDS for row in ledger.read("fine_tune_set", shard).to_pylist()]


def test_what_is_left_out_stays_in_the_table_with_its_reason(
    task_home: Home, balanced: Callable[..., tuple[Home, Recipe]]
) -> None:
    before = {row["sample_id"]: row for row in samples(task_home)}
    home, recipe = balanced(*BALANCED)
    after = {row["sample_id"]: row for row in samples(home)}
    assert after.keys() == before.keys()
    left_out = [row for key, row in after.items() if before[key]["kept"] and not row["kept"]]
    assert {row["rejected_by"] for row in left_out} <= {"enough_of_task", "enough_of_letter"}
    assert all(row["conversations"] for row in left_out)
    counts = Counter((row["shard"], row["split"], row["task"]) for row in after.values() if row["kept"])
    assert max(counts.values()) <= 3
    assert mistakes(stage_named("fine_tune_set"), recipe.fine_tune_set) == []


def test_unnamed_it_is_in_no_table_and_no_hash(task_home: Home, balanced: Callable[..., tuple[Home, Recipe]]) -> None:
    names = set(Ledger(task_home.ledger).column_names("fine_tune_set", SHARDS[0]))
    assert not names & {"kind", "source_object", "target_object", "enough_of"}
    home, _ = balanced(*BALANCED)
    assert names < set(Ledger(home.ledger).column_names("fine_tune_set", SHARDS[0]))
    assert "balance" not in load_recipe("modern").model_dump(mode="json")["fine_tune_set"]
    assert "validation_by" not in load_recipe("modern").model_dump(mode="json")["fine_tune_set"]


@pytest.mark.parametrize("change", ["fine_tune_set.min_match_margin=0.4", "fine_tune_set.balance.caps={task: 2}"])
def test_what_if_tells_what_a_run_keeps(
    task_home: Home, balanced: Callable[..., tuple[Home, Recipe]], task_recipe: Recipe, change: str
) -> None:
    home, _ = balanced(*BALANCED)
    recipe = override_recipe(task_recipe, (*BALANCED, change))
    judged = StoredScores(home, SHARDS).judge(recipe)[-1]
    after, _ = balanced(*BALANCED, change)
    kept = {row["sample_id"] for row in samples(after) if row["kept"]}
    assert set(judged.stored.ids.filter((judged.fates == 0).tolist()).to_pylist()) == kept
    assert kept != {row["sample_id"] for row in samples(home) if row["kept"]}


def test_the_validation_split_holds_what_the_recipe_says_by_task(balanced: Callable[..., tuple[Home, Recipe]]) -> None:
    home, _ = balanced(*BY_SORT)
    rows = [row for row in samples(home) if row["rejected_by"] != "upstream"]
    for shard in SHARDS[:1]:
        for task in ("difference", "which_image", "grounding"):
            own = [row["split"] for row in rows if row["shard"] == shard and row["task"] == task]
            assert abs(own.count("validation") - len(own) / 2) <= 1, task
    assert len({(row["caption_id"], row["split"]) for row in rows}) == len({row["caption_id"] for row in rows})


def test_what_cannot_be_counted_is_refused() -> None:
    for wrong in ("shares={colour: {red: 1}}", "shares={task: {difference: 0}}", "caps={object: 0}"):
        with pytest.raises(RecipeError, match=r"fine_tune_set\.balance"):
            load_recipe("miniature", ["fine_tune_set.balance={}", f"fine_tune_set.balance.{wrong}"])


@pytest.mark.parametrize(
    "settings",
    [
        "shares={task: {difference: 1, which_image: 2.6, grounding: 0.4}}",
        "shares={object: {dog: 3, cat: 10}}",
        "caps={task: 1, kind: 2, object: 3, replacement: 2}",
    ],
)
def test_the_planted_samples_prove_any_balance(settings: str) -> None:
    recipe = load_recipe("miniature", ["fine_tune_set.balance={}", f"fine_tune_set.balance.{settings}"])
    assert mistakes(stage_named("fine_tune_set"), recipe.fine_tune_set) == []
