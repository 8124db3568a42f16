"""A pair is made in the way that the recipe names for its kind, and depends on the models of that way alone."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from imgdiff_assets.common.aliases import Pixels
from imgdiff_assets.common.hashing import seed_of
from imgdiff_assets.engine.materialize import materialize
from imgdiff_assets.engine.parents import read_inputs
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.images import decode
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.lineage.lineage import lineage
from imgdiff_assets.lineage.lineage_text import to_text
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.recipe.mistakes import RecipeError
from imgdiff_assets.recipe.overrides import override_recipe
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.recipe.recorded_recipe import recorded_recipe
from imgdiff_assets.stages.graph import stage_named

SHARD = "shard-000001"
MODELS = ("models.editor.model=miniature:pair_generator", "models.image_generator.model=miniature:pair_generator")
TOLD = (*MODELS, "prompt_pairs.instructions={}")
EDIT = (*TOLD, "image_pairs.method=edit")
BLACK = np.zeros((8, 8, 3), np.uint8)


class Painter:
    """Paints each seed in a grey of its own; as an editor, the instruction's length into a corner."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int]] = []

    def generate(self, captions: Sequence[str], seeds: Sequence[int]) -> list[Pixels]:
        rows = zip(captions, seeds, strict=True)
        return [np.full((8, 8, 3), (seed + len(caption)) % 100, np.uint8) for caption, seed in rows]

    def edit(self, sources: Sequence[Pixels], instructions: Sequence[str], seeds: Sequence[int]) -> list[Pixels]:
        self.told += zip(instructions, seeds, strict=True)
        targets = [source + np.uint8(5) for source in sources]
        for target in targets:
            target[:2, :2] = 250
        return targets


def run(home: Home, recipe: Recipe, models: Any, name: str = "image_pairs") -> Any:
    stage = stage_named(name)
    return materialize(stage, SHARD, read_inputs(stage, home, SHARD), recipe, Ledger(home.ledger), models, "run-2")


def rows(home: Home, name: str = "image_pairs") -> list[dict[str, Any]]:
    return Ledger(home.ledger).read(name, SHARD).to_pylist()


def told(home: Home, recipe: Recipe, models: Any) -> dict[str, Any]:
    """Has the prompt pairs' instructions written; returns them by pair."""
    record = run(home, recipe, models, "prompt_pairs")
    assert record.calls["rewrite"] == 0, "a column of its own, measured alone"
    return {row["pair_id"]: row for row in rows(home, "prompt_pairs")}


def test_an_editor_makes_the_target_of_the_source(own_home: Home, drawn_recipe: Recipe, drawn_models: Any) -> None:
    recipe, painter = override_recipe(drawn_recipe, EDIT), Painter()
    models = drawn_models(recipe, editor=painter, image_generator=painter)
    prompts = told(own_home, recipe, models)
    record = run(own_home, recipe, models)
    made = [row for row in rows(own_home) if row["kept"]]
    assert made
    assert set(record.models) == {"image_generator", "editor"}, "the pair generator has no part in it"
    for row in made:
        assert row["method"] == "edit"
        assert row["instruction"] == prompts[row["pair_id"]]["instruction"]
        assert row["instruction"].startswith("replace the ")
        assert row["seed"] == seed_of(recipe.seed, "image_pair", row["pair_id"])
        assert (row["instruction"], row["seed"]) in painter.told
    again = run(own_home, recipe, models)
    assert not any(again.calls.values())
    # Who looks with another recipe sees it, too, and replays by what the table was made with.
    told_of_it = to_text(lineage(own_home, drawn_recipe, made[0]["pair_id"]))
    assert f"made by edit: {made[0]['instruction']}" in told_of_it
    then = recorded_recipe(drawn_recipe, [Ledger(own_home.ledger).record("image_pairs", SHARD) or {}])
    assert then.role("editor").model == "miniature:pair_generator"


def test_an_edit_is_laid_back_where_a_recipe_says_so(own_home: Home, drawn_recipe: Recipe, drawn_models: Any) -> None:
    recipe, painter = override_recipe(drawn_recipe, [*EDIT, "image_pairs.lay_back=24"]), Painter()
    models = drawn_models(recipe, editor=painter, image_generator=painter)
    told(own_home, recipe, models)
    run(own_home, recipe, models)
    made = Ledger(own_home.ledger).read("image_pairs", SHARD, images=True).to_pylist()
    for row in (row for row in made if row["kept"]):
        source, target = (decode(row[name]["bytes"]) for name in ("source_image", "target_image"))
        assert row["laid_back_from"] == 24
        np.testing.assert_array_equal(target[-2:, -2:], source[-2:, -2:])
        assert (target[0, 0] == 250).all()
        (method,) = [line for line in stage_named("image_pairs").contents(row) if "own pixels" in line]
        assert "less than 24 of 255" in method


def test_two_texts_make_a_pair_of_one_seed(own_home: Home, drawn_recipe: Recipe, drawn_models: Any) -> None:
    recipe, painter = override_recipe(drawn_recipe, [*MODELS, "image_pairs.method=text_pair"]), Painter()
    record = run(own_home, recipe, drawn_models(recipe, image_generator=painter))
    assert set(record.models) == {"image_generator"}
    assert {row["method"] for row in rows(own_home) if row["kept"]} == {"text_pair"}


def test_another_kind_s_method_leaves_what_was_made(own_home: Home, drawn_recipe: Recipe, drawn_models: Any) -> None:
    """Rows of Prompt-to-Prompt depend on no editor, though other rows of the table have one."""
    before = {row["pair_id"]: row["generate_fingerprint"] for row in rows(own_home)}
    recipe = override_recipe(drawn_recipe, [*TOLD, "image_pairs.kind_methods={attribute_changed: edit}"])
    painter = Painter()
    models = drawn_models(recipe, editor=painter, image_generator=painter)
    told(own_home, recipe, models)
    record = run(own_home, recipe, models)
    assert record.calls == {"generate": 0}
    assert {row["pair_id"]: row["generate_fingerprint"] for row in rows(own_home)} == before


def test_what_is_not_named_leaves_no_trace(drawn_recipe: Recipe) -> None:
    plain = {"image_pairs.method=prompt_to_prompt", "image_pairs.kind_methods={}", "image_pairs.lay_back=0"}
    assert override_recipe(drawn_recipe, sorted(plain)).hash == drawn_recipe.hash
    stage = stage_named("image_pairs").under(drawn_recipe)
    assert stage.roles == ("pair_generator",)
    assert not {"method", "instruction", "laid_back_from"} & set(stage.schema.names)
    assert "instruction" not in stage_named("prompt_pairs").under(drawn_recipe).schema.names


@pytest.mark.parametrize(
    ("overrides", "why"),
    [
        ([*MODELS, "image_pairs.method=edit"], r"`prompt_pairs.instructions: \{\}` does"),
        (
            ["prompt_pairs.instructions={}", "image_pairs.method=edit"],
            "asks the image_generator: name its",
        ),
        (["image_pairs.kind_methods={nonsense: edit}"], "there is no kind 'nonsense'"),
        (["prompt_pairs.instructions={}", "prompt_pairs.language=german"], "only the rewriter can tell"),
        (["prompt_pairs.instructions.question='What?'"], "must contain {caption}"),
    ],
)
def test_recipes_that_cannot_be_run_are_refused(overrides: list[str], why: str) -> None:
    with pytest.raises(RecipeError, match=why):
        load_recipe("miniature", overrides)
