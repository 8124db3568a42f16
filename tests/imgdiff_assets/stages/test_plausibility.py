"""What the verifier says of pairs: columns of their own, measured alone, that judge where they are told to."""

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
from imgdiff_assets.release.card import agreement_of_verifiers
from imgdiff_assets.setup.doctor import available_devices, examine_recipe
from imgdiff_assets.setup.model_list import model_states
from imgdiff_assets.stages.canaries import mistakes
from imgdiff_assets.stages.graph import stage_named
from imgdiff_assets.stages.plausibility import SCORES
from resources.loading.known_models import NOT_STATED

SHARD = "shard-000000"
ON = ("verifier.model=miniature:verifier", "filtered_pairs.plausibility={}")
STRICT = (*ON, "filtered_pairs.plausibility.min_plausibility=0.5", "filtered_pairs.plausibility.agreement='AUC 0.9'")


class Verifier:
    """Finds one picture of every second pair wrong; of both together it says nothing, or that they are right."""

    def __init__(self, together: float | None) -> None:
        self.together, self.asked = together, list[str]()

    def judge(self, images: Sequence[Sequence[Any]], questions: Sequence[str]) -> list[float | None]:
        first = len(self.asked)
        self.asked += questions
        numbers = range(first, len(self.asked))
        return [
            self.together if len(shown) > 1 else (0.9, 0.8, 0.9, 0.9, 0.2)[number % 6]
            for number, shown in zip(numbers, images, strict=True)
        ]


def pairs(home: Home) -> dict[str, dict[str, Any]]:
    return {row["pair_id"]: row for row in Ledger(home.ledger).read("filtered_pairs", SHARD).to_pylist()}


def run(home: Home, recipe: Recipe, models: Any) -> Any:
    stage = stage_named("filtered_pairs")
    return materialize(stage, SHARD, read_inputs(stage, home, SHARD), recipe, Ledger(home.ledger), models, "run-2")


@pytest.mark.parametrize("together", [0.95, None])
def test_it_alone_is_measured_and_rejects_only_where_it_is_told_to(
    own_home: Home, drawn_recipe: Recipe, drawn_models: Any, together: float | None
) -> None:
    before, verifier = pairs(own_home), Verifier(together)
    models = drawn_models(override_recipe(drawn_recipe, ON), verifier=verifier)
    record = run(own_home, override_recipe(drawn_recipe, ON), models)
    scored = [row for row in pairs(own_home).values() if row["source_plausibility"] is not None]
    assert {name: rows for name, rows in record.calls.items() if rows} == {"verify": len(scored)}
    assert 3 * len(scored) == len(verifier.asked)
    assert {key: row["rejected_by"] for key, row in pairs(own_home).items()} == {
        key: row["rejected_by"] for key, row in before.items()
    }
    for row in scored:
        told = [row[name] for name in SCORES if row[name] is not None]
        assert len(told) == (2 if together is None else 3)
        assert row["plausibility"] == min(told)

    strict = override_recipe(drawn_recipe, STRICT)
    assert not any(run(own_home, strict, models).calls.values()), "a threshold asks nobody"
    wrong = {key for key, row in pairs(own_home).items() if row["rejected_by"] == "implausible"}
    assert wrong == {row["pair_id"] for row in scored if row["plausibility"] < 0.5}
    assert 0 < len(wrong) < len(scored)
    assert mistakes(stage_named("filtered_pairs"), strict.filtered_pairs) == []


def test_what_is_not_named_is_in_no_hash(drawn_recipe: Recipe) -> None:
    assert "verifier" not in drawn_recipe.roles
    assert "verifier" not in drawn_recipe.model_dump()["models"]
    assert "plausibility" not in drawn_recipe.model_dump()["filtered_pairs"]
    assert override_recipe(drawn_recipe, ON).hash != drawn_recipe.hash


def test_a_verifier_is_named_and_its_agreement_stated_before_it_rejects() -> None:
    with pytest.raises(
        RecipeError, match=r"filtered_pairs asks the verifier: name its model, as in `models\.verifier"
    ):
        load_recipe("modern", ["filtered_pairs.plausibility={}"])
    unknown = ["verifier.model=org/judge", *ON[1:]]
    assert load_recipe("modern", unknown).verifier_agreement is None
    limit = "filtered_pairs.plausibility.min_plausibility=0.5"
    with pytest.raises(RecipeError, match="no agreement with truth or people is stated, so it may not reject"):
        load_recipe("modern", [*unknown, limit])
    stated = "filtered_pairs.plausibility.agreement='right in 64 % of 1,000 pairs that people ranked'"
    assert "64 %" in str(load_recipe("modern", [*unknown, limit, stated]).verifier_agreement)


@pytest.mark.parametrize(("model", "told"), [("miniature:verifier", "AUC 0.98"), ("miniature:captioner", NOT_STATED)])
def test_doctor_and_card_tell_how_far_it_is_to_be_believed(model: str, told: str) -> None:
    recipe = load_recipe("miniature", [f"verifier.model={model}", *ON[1:]])
    (remark,) = examine_recipe(recipe, model_states(recipe), available_devices()).remarks
    assert told in remark
    settings = {"filtered_pairs": recipe.filtered_pairs.model_dump()}
    manifest = {"settings": settings, "models": {"verifier": recipe.role("verifier").identity()}}
    assert told in agreement_of_verifiers(manifest)
    assert agreement_of_verifiers({"settings": {}, "models": {}}) == ""
