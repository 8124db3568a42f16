"""The rewriter's word on difference captions: a column of its own, measured alone, that judges where it is told to."""

from collections.abc import Sequence
from typing import Any

import pytest

from imgdiff_assets.engine.materialize import materialize
from imgdiff_assets.engine.parents import read_inputs
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.recipe.mistakes import RecipeError
from imgdiff_assets.recipe.overrides import override_recipe
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.canaries import mistakes
from imgdiff_assets.stages.graph import stage_named

SHARD = "shard-000000"
ON = "captions.confirmation={}"


class Doubter:
    """Doubts every second difference caption; keeps what it was asked."""

    def __init__(self, sure: float | None) -> None:
        self.sure, self.asked = sure, list[str]()

    def yes(self, questions: Sequence[str]) -> list[float | None]:
        first = len(self.asked)
        self.asked += questions
        return [(self.sure, 0.2)[number % 2] for number in range(first, len(self.asked))]


def captions(home: Home) -> dict[str, dict[str, Any]]:
    rows = Ledger(home.ledger).read("captions", SHARD).to_pylist()
    return {row["region_id"]: row for row in rows if row["difference_caption"]}


@pytest.fixture
def confirm(own_home: Home, drawn_models: Any) -> Any:
    """`confirm(recipe, sure)`: the captions again; returns what the rewriter was asked, and the record."""

    def confirm(recipe: Recipe, sure: float | None = 0.9) -> tuple[list[str], Any]:
        stage, doubter = stage_named("captions"), Doubter(sure)
        models = drawn_models(recipe, prompt_rewriter=doubter)
        inputs = read_inputs(stage, own_home, SHARD)
        record = materialize(stage, SHARD, inputs, recipe, Ledger(own_home.ledger), models, "run-2")
        return doubter.asked, record

    return confirm


def test_only_the_confirmation_is_measured_and_it_judges_nothing_unless_told(
    own_home: Home, drawn_recipe: Recipe, confirm: Any
) -> None:
    before = captions(own_home)
    asked, record = confirm(override_recipe(drawn_recipe, [ON]))
    after = captions(own_home)
    assert {name: rows for name, rows in record.calls.items() if rows} == {"confirm": len(asked)}
    assert len(asked) == len(after) >= 2
    assert {round(row["confirmation"], 6) for row in after.values()} == {0.9, 0.2}
    for key, row in after.items():
        assert row["rejected_by"] == before[key]["rejected_by"]
        assert any(row["difference"] in question and row["source_phrase"] in question for question in asked)


@pytest.mark.parametrize("sure", [0.9, None])
def test_a_threshold_rejects_what_is_doubted_and_nothing_that_is_not_known(
    own_home: Home, drawn_recipe: Recipe, confirm: Any, sure: float | None
) -> None:
    confirm(override_recipe(drawn_recipe, [ON]), sure)
    strict = override_recipe(drawn_recipe, [ON, "captions.confirmation.min_confirmation=0.5"])
    asked, _ = confirm(strict, sure)
    assert asked == [], "another threshold asks nobody"
    rows = list(captions(own_home).values())
    doubted = [row for row in rows if row["confirmation"] is not None and row["confirmation"] < 0.5]
    assert 0 < len(doubted) < len(rows)
    assert doubted == [row for row in rows if row["rejected_by"] == "not_confirmed"]
    assert mistakes(stage_named("captions"), strict.captions) == []


def test_it_is_in_no_recipe_unless_named() -> None:
    assert load_recipe("modern").captions.confirmation is None
    with pytest.raises(RecipeError, match=r"captions\.confirmation\.question"):
        load_recipe("modern", [ON, "captions.confirmation.question='Is {nothing} true?'"])
