"""What nothing reads is not measured; what was measured of it stays."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from imgdiff_assets.engine import plan as planning
from imgdiff_assets.engine.parents import read_inputs
from imgdiff_assets.engine.plan import TablePlan, plan_stage, plan_table
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.recipe.overrides import override_recipe
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import stage_named, stages_of
from imgdiff_assets.what_if.judgement import StoredScores

SHARD = "shard-000000"
CAPTIONS = stage_named("captions")
READER = "fine_tune_set.tasks=[difference, which_image]"


@pytest.fixture
def planned(own_home: Home, drawn_models: Callable[..., Any]) -> Callable[[Recipe], TablePlan]:
    """`planned(recipe)`: what is to be done with the captions of a home that was made with no such task."""

    def plan(recipe: Recipe) -> TablePlan:
        how = plan_stage(CAPTIONS, recipe, drawn_models(recipe))
        return plan_table(how, Ledger(own_home.ledger), SHARD, read_inputs(CAPTIONS, own_home, SHARD).hash)

    return plan


def measured(home: Home) -> tuple[int, int]:
    """How many rows have what a reader asks for, and how many would have."""
    table = Ledger(home.ledger).read("captions", SHARD)
    scores = [row["source_mismatch_itc"] for row in table.to_pylist() if row["kept"]]
    return len(scores) - scores.count(None), len(scores)


def test_it_is_measured_once_a_task_reads_it_and_stays(
    own_home: Home,
    drawn_recipe: Recipe,
    run_stages: Callable[..., None],
    planned: Callable[[Recipe], TablePlan],
) -> None:
    assert measured(own_home)[0] == 0 < measured(own_home)[1]
    assert planned(drawn_recipe).fresh
    asking = override_recipe(drawn_recipe, [READER])
    assert planned(asking).reasons == ("mismatch is read now, and not measured of all rows",)
    run_stages(own_home, asking, [SHARD], ["captions"], "run-2")
    record = Ledger(own_home.ledger).record("captions", SHARD) or {}
    assert {name for name, asked in record["calls"].items() if asked} == {"mismatch"}
    assert measured(own_home)[0] == measured(own_home)[1]
    assert planned(asking).fresh
    assert planned(drawn_recipe).fresh, "it has more than is read, which is no reason to make it again"
    strict = override_recipe(drawn_recipe, ["captions.max_caption_similarity=0.84"])
    assert not planned(strict).fresh
    run_stages(own_home, strict, [SHARD], ["captions"], "run-3")
    assert measured(own_home)[0] == measured(own_home)[1], "judged anew, rows keep what they have"


def test_a_filter_or_a_stage_of_a_package_reads_it(
    drawn_recipe: Recipe, drawn_models: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    models = drawn_models(drawn_recipe)
    assert plan_stage(CAPTIONS, drawn_recipe, models).unread == {"mismatch"}
    judge = replace(CAPTIONS.filters[0], reads=("source_mismatch_itc",))
    assert not plan_stage(replace(CAPTIONS, steps=(*CAPTIONS.steps, judge)), drawn_recipe, models).unread
    theirs = replace(stage_named("fine_tune_set"), package="colours 1.0")
    monkeypatch.setattr(planning, "stages_of", lambda recipe: (*stages_of(recipe), theirs))
    assert not plan_stage(CAPTIONS, drawn_recipe, models).unread


def test_what_if_foretells_it(own_home: Home, drawn_recipe: Recipe) -> None:
    stored = StoredScores(own_home, [SHARD])

    def to_measure(*overrides: str) -> dict[str, int]:
        judged = stored.judge(override_recipe(drawn_recipe, overrides))
        return next(one.to_measure for one in judged if one.stored.stage is CAPTIONS)

    assert to_measure() == to_measure("captions.max_caption_similarity=0.84") == {}
    assert to_measure(READER) == {"mismatch": measured(own_home)[1]}
