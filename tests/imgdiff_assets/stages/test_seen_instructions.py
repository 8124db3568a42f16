"""The instruction that fits what came out: measured alone, used by its task, and in nothing where it is off."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from imgdiff_assets.engine.materialize import materialize
from imgdiff_assets.engine.parents import read_inputs
from imgdiff_assets.engine.record import Materialization
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.lineage.lineage import lineage
from imgdiff_assets.lineage.lineage_text import to_text
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.recipe.mistakes import RecipeError
from imgdiff_assets.recipe.overrides import override_recipe
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import stage_named
from imgdiff_assets.statistics.sample_checks import violations

SHARD = "shard-000000"
ON = "filtered_pairs.seen_instructions={}"
BY_REWRITER = "filtered_pairs.seen_instructions.by=rewriter"
TASK = "fine_tune_set.tasks=[edit_instruction]"

Run = Callable[..., Materialization]


class Seer:
    """A captioner and a rewriter that say what they were asked, so that a test sees it in the table."""

    def __init__(self) -> None:
        self.shown: list[int] = []

    def answer(self, images: Sequence[Sequence[Any]], questions: Sequence[str]) -> list[str]:
        self.shown += [len(group) for group in images]
        return [f"“{question.splitlines()[0]}”" for question in questions]

    def ask(self, questions: Sequence[str], seeds: object) -> list[str]:
        assert seeds is None
        return [f"<think>hm</think> {' '.join(question.splitlines()[1:3])}" for question in questions]


@pytest.fixture
def run(own_home: Home, drawn_recipe: Recipe, drawn_models: Any) -> Run:
    def again(name: str, *overrides: str, **players: Any) -> Materialization:
        recipe = override_recipe(drawn_recipe, overrides)
        stage, models = stage_named(name), drawn_models(recipe, **players)
        return materialize(
            stage, SHARD, read_inputs(stage, own_home, SHARD), recipe, Ledger(own_home.ledger), models, "run-2"
        )

    return again


def rows_of(home: Home, name: str) -> list[dict[str, Any]]:
    return list(Ledger(home.ledger).read(name, SHARD).to_pylist())


def test_it_alone_is_measured_of_kept_pairs_and_off_nothing_is_left(own_home: Home, run: Run) -> None:
    unnamed = (Ledger(own_home.ledger).record("filtered_pairs", SHARD) or {})["output_hash"]
    seer = Seer()
    record = run("filtered_pairs", ON, captioner=seer)
    rows = rows_of(own_home, "filtered_pairs")
    kept = [row for row in rows if row["kept"]]
    assert record.calls == {**dict.fromkeys(record.calls, 0), "retell": len(kept)}
    assert seer.shown == [2] * len(kept)
    assert 0 < len(kept) < len(rows)
    assert {row["pair_id"] for row in rows if row["seen_instruction"]} == {row["pair_id"] for row in kept}
    captions = {row["pair_id"]: row for row in rows_of(own_home, "prompt_pairs")}
    for row in kept:
        pair = captions[row["pair_id"]]
        told = f"make of “{pair['source_caption']}”: “{pair['target_caption']}”"
        assert row["told"] == told
        assert row["seen_instruction"].endswith(f"What was asked for: {told}".rstrip("”"))
    record = run("filtered_pairs")
    assert (record.output_hash, any(record.calls.values())) == (unnamed, False)
    assert "seen_instructions" not in load_recipe("modern").model_dump(mode="json")["filtered_pairs"]


def test_the_rewriter_is_told_what_the_captioner_sees_in_each(own_home: Home, run: Run) -> None:
    seer = Seer()
    asked = "filtered_pairs.seen_instructions.caption_question='what is this ?'"
    record = run("filtered_pairs", ON, BY_REWRITER, asked, captioner=seer, prompt_rewriter=seer)
    assert "prompt_rewriter" in record.models
    assert set(seer.shown) == {1}
    told = {row["seen_instruction"] for row in rows_of(own_home, "filtered_pairs") if row["kept"]}
    assert told == {"Seen before: “what is this ?” Seen after: “what is this ?"}


def test_pairs_that_an_editor_made_are_asked_with_their_instruction(own_home: Home, run: Run) -> None:
    class Editor(Seer):
        def generate(self, captions: Sequence[str], seeds: Sequence[int]) -> list[np.ndarray]:
            return [np.full((16, 16, 3), seed % 200, np.uint8) for seed in seeds]

        def edit(self, sources: Sequence[np.ndarray], instructions: Sequence[str], seeds: object) -> list[np.ndarray]:
            return [source + 1 for source in sources]

    edits = ("prompt_pairs.instructions={}", "image_pairs.method=edit", "editor.model=x", "image_generator.model=x")
    player = Editor()
    players = {"captioner": player, "editor": player, "image_generator": player}
    for name in ("prompt_pairs", "image_pairs", "filtered_pairs"):
        loose = ("filtered_pairs.min_similarity=-1", "filtered_pairs.max_similarity=1")
        run(name, ON, *edits, *loose, **players)
    instructions = {row["pair_id"]: row["instruction"] for row in rows_of(own_home, "image_pairs")}
    told = {row["pair_id"]: row["told"] for row in rows_of(own_home, "filtered_pairs")}
    assert told == {pair: instructions[pair] for pair in told}
    assert all(told.values())


def test_a_captioner_that_says_nothing_is_an_error_of_the_row(own_home: Home, run: Run) -> None:
    class Silent(Seer):
        def answer(self, images: Sequence[Sequence[Any]], questions: Sequence[str]) -> list[str]:
            return ["a thing", *[""] * (len(questions) - 1)]

    run("filtered_pairs", ON, "max_error_share=1", captioner=Silent())
    errors = [row for row in rows_of(own_home, "filtered_pairs") if row["rejected_by"] == "error:no_answer"]
    assert errors
    assert "no instruction was named" in errors[0]["error"]


def test_the_task_answers_by_what_is_seen_from_source_to_target_alone(
    own_home: Home, run: Run, drawn_recipe: Recipe
) -> None:
    class Sayer(Seer):
        def answer(self, images: Sequence[Sequence[Any]], questions: Sequence[str]) -> list[str]:
            return ["make it as it is there"] * len(questions)

    run("filtered_pairs", ON, captioner=Sayer())
    run("fine_tune_set", TASK, ON)
    rows = [row for row in rows_of(own_home, "fine_tune_set") if row["task"] == "edit_instruction"]
    answers = {first: {row["answer"] for row in rows if row["first"] == first} for first in ("source", "target")}
    assert answers["source"] == {"make it as it is there"}
    assert answers["target"]
    assert "make it as it is there" not in answers["target"]
    assert violations(Ledger(own_home.ledger), SHARD) == []
    root = lineage(own_home, override_recipe(drawn_recipe, [ON]), rows[0]["pair_id"])
    assert "instruction by what is seen: make it as it is there" in to_text(root)


def test_a_rewriter_s_question_has_what_is_seen() -> None:
    with pytest.raises(RecipeError, match="where what is seen goes"):
        load_recipe("miniature", [ON, "filtered_pairs.seen_instructions.rewriter_question='what ?'"])
