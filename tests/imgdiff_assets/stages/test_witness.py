"""A second captioner on the regions, and differences told anew: measured alone, and in nothing where they are off."""

from collections.abc import Sequence
from typing import Any

import pytest

from imgdiff_assets.engine.materialize import materialize
from imgdiff_assets.engine.parents import read_inputs
from imgdiff_assets.engine.record import Materialization
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.recipe.mistakes import RecipeError
from imgdiff_assets.recipe.overrides import override_recipe
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import stage_named
from imgdiff_assets.what_if.judgement import StoredScores

SHARD = "shard-000000"
ON = ("witness.model=miniature:captioner", "captions.witness={}")
HALF = "captions.witness.min_witness_agreement=0.9"


class Other:
    """Sees what the question names, but of every second region something else in the target."""

    def __init__(self) -> None:
        self.asked = 0

    def answer(self, images: Sequence[Sequence[Any]], questions: Sequence[str]) -> list[str]:
        names = [question.removeprefix("what is ").removesuffix(" ?") for question in questions]
        first, self.asked = self.asked, self.asked + len(names)
        return ["a mountain" if number % 4 == 1 else f"a {name}" for number, name in enumerate(names, first)]


class Silent:
    """A captioner that tells no difference as it is."""

    def answer(self, images: Sequence[Sequence[Any]], questions: Sequence[str]) -> list[str]:
        return [
            "a mountain is on both sides" if "/" in question else f"a {question.split()[2]}" for question in questions
        ]


def rows(home: Home) -> dict[str, dict[str, Any]]:
    return {row["region_id"]: row for row in Ledger(home.ledger).read("captions", SHARD).to_pylist()}


@pytest.fixture
def judged(own_home: Home, drawn_recipe: Recipe, drawn_models: Any) -> Any:
    """`judged(*overrides, player=...)`: the captions of a home, and what it took."""

    def run(*overrides: str, **players: Any) -> Materialization:
        recipe = override_recipe(drawn_recipe, overrides)
        stage, models = stage_named("captions"), drawn_models(recipe, **players)
        inputs = read_inputs(stage, own_home, SHARD)
        return materialize(stage, SHARD, inputs, recipe, Ledger(own_home.ledger), models, "run-2")

    return run


def test_the_witness_alone_is_asked_and_off_nothing_is_left(own_home: Home, judged: Any) -> None:
    unnamed = (Ledger(own_home.ledger).record("captions", SHARD) or {})["output_hash"]
    record = judged(*ON, witness=Other())
    assert {step for step, count in record.calls.items() if count} == {"attest"}
    assert "witness" in record.models
    record = judged()
    assert (record.output_hash, any(record.calls.values())) == (unnamed, False)
    dumped = load_recipe("modern").model_dump(mode="json")
    assert "witness" not in dumped["captions"]
    assert "witness" not in dumped["models"]
    assert "composed" not in dumped["captions"]


def test_what_the_witness_sees_otherwise_is_rejected_where_the_recipe_says_so(
    own_home: Home, judged: Any, drawn_recipe: Recipe
) -> None:
    judged(*ON, witness=Other())
    measured = {key: row for key, row in rows(own_home).items() if row["witness_agreement"] is not None}
    doubted = {key for key, row in measured.items() if row["target_witness_caption"] == "a mountain"}
    assert doubted != measured.keys()
    agreeing = {key for key, row in measured.items() if row["witness_agreement"] >= 0.9}
    assert agreeing == measured.keys() - doubted, measured
    told = StoredScores(own_home, [SHARD]).judge(override_recipe(drawn_recipe, [*ON, HALF]))
    (captions,) = [one for one in told if one.stored.stage.name == "captions"]
    record = judged(*ON, HALF, witness=Other())
    assert not any(record.calls.values())
    after = rows(own_home)
    assert {key for key, row in after.items() if row["rejected_by"] == "not_attested"} == doubted
    assert captions.kept == sum(row["kept"] for row in after.values())


def test_what_is_told_wrongly_is_told_anew_from_the_region_captions(own_home: Home, judged: Any) -> None:
    strict = "captions.min_agreement=0.9"
    judged(strict, "captions.crop_padding=3", captioner=Silent())
    lost = {key for key, row in rows(own_home).items() if row["rejected_by"] == "difference_disagrees"}
    assert lost
    record = judged(strict, "captions.crop_padding=3", "captions.composed=true", captioner=Silent())
    assert not any(record.calls.values())
    for key, row in rows(own_home).items():
        if key in lost:
            said = (row["source_phrase"], row["target_phrase"])
            assert row["difference"] == "The left image shows {}, and the right image shows {}.".format(*said)
            assert (row["agreement"], row["kept"]) == (1.0, True)
            assert row["difference_caption"] == "a mountain is on both sides"


def test_a_witness_must_be_named() -> None:
    with pytest.raises(RecipeError, match="captions asks the witness: name its model"):
        load_recipe("miniature", ["captions.witness={}"])
