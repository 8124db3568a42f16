"""What differs is asked in both orders: of the second answer there is a score, measured alone, that may reject."""

from collections.abc import Sequence
from typing import Any

from imgdiff_assets.common.aliases import Pixels
from imgdiff_assets.engine.materialize import materialize
from imgdiff_assets.engine.parents import read_inputs
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.recipe.overrides import override_recipe
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.canaries import mistakes
from imgdiff_assets.stages.graph import stage_named

SHARD = "shard-000000"
ON = "captions.inversion={}"


class HalfBlind:
    """Looks at every second pair; of the others it says what it said before, whichever way round they are."""

    def __init__(self) -> None:
        self.shown = list[Sequence[Pixels]]()

    def answer(self, images: Sequence[Sequence[Pixels]], questions: Sequence[str]) -> list[str]:
        first = len(self.shown)
        self.shown += images
        sides = [question.split("/") for question in questions]
        turned = [side if number % 2 else side[::-1] for number, side in enumerate(sides, first)]
        return [f"the left image shows {left} and the right image {right}" for left, right in turned]


def captions(home: Home) -> dict[str, dict[str, Any]]:
    rows = Ledger(home.ledger).read("captions", SHARD).to_pylist()
    return {row["region_id"]: row for row in rows if row["difference_caption"]}


def run(home: Home, recipe: Recipe, models: Any) -> Any:
    stage = stage_named("captions")
    return materialize(stage, SHARD, read_inputs(stage, home, SHARD), recipe, Ledger(home.ledger), models, "run-2")


def test_the_other_order_alone_is_asked_and_answers_that_are_not_inverse_are_rejected_where_told(
    own_home: Home, drawn_recipe: Recipe, drawn_models: Any
) -> None:
    recipe, captioner = override_recipe(drawn_recipe, [ON]), HalfBlind()
    before, models = captions(own_home), drawn_models(recipe, captioner=captioner)
    record = run(own_home, recipe, models)
    after = captions(own_home)
    assert {name: rows for name, rows in record.calls.items() if rows} == {"tell_back": len(after)}
    assert {key: row["rejected_by"] for key, row in after.items()} == {
        key: row["rejected_by"] for key, row in before.items()
    }
    inverse = [row for row in after.values() if row["inversion"] == 1]
    blind = [row for row in after.values() if row["inversion"] < 0.5]
    assert len(inverse) + len(blind) == len(after)
    assert inverse
    assert blind
    for row in inverse:
        assert f"left image shows {row['target_phrase']}" in row["inverse_difference_caption"]
        assert f"right image {row['source_phrase']}" in row["inverse_difference_caption"]

    strict = override_recipe(recipe, ["captions.inversion.min_inversion=0.5"])
    assert not any(run(own_home, strict, models).calls.values()), "a threshold asks nobody"
    rejected = {key for key, row in captions(own_home).items() if row["rejected_by"] == "not_inverse"}
    assert rejected == {row["region_id"] for row in blind if before[row["region_id"]]["kept"]}
    assert rejected
    assert mistakes(stage_named("captions"), strict.captions) == []


def test_the_captioner_is_shown_the_target_first(own_home: Home, drawn_recipe: Recipe, drawn_models: Any) -> None:
    anew = "captions.difference_question='{source_caption}/{target_caption} '"
    recipe, captioner = override_recipe(drawn_recipe, [ON, anew]), HalfBlind()
    run(own_home, recipe, drawn_models(recipe, captioner=captioner))
    half = len(captioner.shown) // 2
    assert half
    for there, back in zip(captioner.shown[:half], captioner.shown[half:], strict=True):
        assert [picture.tobytes() for picture in there] == [picture.tobytes() for picture in reversed(back)]


def test_it_is_in_no_recipe_unless_named() -> None:
    assert load_recipe("modern").captions.inversion is None
    assert "inversion" not in load_recipe("modern").model_dump()["captions"]
