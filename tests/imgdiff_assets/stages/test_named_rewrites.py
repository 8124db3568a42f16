"""A rewriter that names what it changed, in the manners of real models: asked, checked, kept or rejected by a name."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from imgdiff_assets.engine.materialize import materialize
from imgdiff_assets.engine.parents import read_inputs
from imgdiff_assets.engine.plan import plan_stage
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.ingest_captions import ingest
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.lineage.replay import shared_models
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.stages.graph import stage_named
from resources.loading.failures import ModelUnavailable
from tests.answering_server import MODEL, answering

SHARD = "shard-000000"
STAGE = stage_named("prompt_pairs")
QUESTIONS = ("object_question", "change_question")


def named(caption: str, replaced: str, replacement: str, kind: str = "object") -> str:
    return json.dumps({"caption": caption, "replaced": replaced, "replacement": replacement, "kind": kind})


WINE = "A woman holding a wine glass"
ANSWERS: Mapping[str, tuple[str, str | None, tuple[str, str, str]]] = {
    # By caption: the answer, the answer to the second question (None: it is not to be asked), and what comes of it.
    WINE: (
        named("A woman holding a beer glass", "wine glass", "a beer glass"),
        None,
        ("", "wine glass", "beer glass"),
    ),
    "Two dogs play in the snow": (
        f"Sure!\n```json\n{named('Two cats play in the snow', 'dog', 'cat').replace('}', ',}')}\n```",
        None,
        ("", "dogs", "cats"),
    ),
    "A man rides a red bike": (
        named("A man rides a blue bike", "red bike", "blue bike"),
        None,
        ("other_kind", "red bike", "blue bike"),
    ),
    "A cat on a bed": (named("A dog under a bed", "cat", "dog"), None, ("more_changed", "", "")),
    "A bird in a tree": (named("A squirrel in a tree", "bird", "fox"), None, ("misnamed", "", "")),
    "A bowl of fruit by a door": (
        named("A lamp by a door", "bowl of fruit", "lamp"),
        None,
        ("several_objects", "bowl of fruit", "lamp"),
    ),
    "A boat on the lake": (
        "Sure, here you go:\n\n**A swan on the lake**",
        '{"replaced": "boat", "replacement": "swan", "kind": "object"}',
        ("", "boat", "swan"),
    ),
    "A fire hydrant on a corner": (
        "A fire truck on a corner",
        "The fire hydrant was replaced with a fire truck.",
        ("", "fire hydrant", "fire truck"),
    ),
    "A sofa near a window": ("A chair near a window", "I am not sure.", ("unnamed", "", "")),
    "A stool beside a lamp": ("1. A bench beside a lamp\n2. A crate beside a lamp", None, ("ambiguous", "", "")),
    "A clock on the wall": ('{"caption": "A mirror on the', None, ("cut_off", "", "")),
    "A horse in the barn": ("<think>The horse could be", None, ("cut_off", "", "")),
    "A kite in the sky": ("I'm sorry, but I cannot help with that.", None, ("no_answer", "", "")),
    "A truck on the road": ("A truck on the road.", None, ("unchanged", "", "")),
    "Ein Hund auf dem Sofa": ("Eine Katze auf dem Sofa", None, ("other_language", "", "")),
}


def answer(request: Mapping[str, Any]) -> str:
    question = request["messages"][0]["content"]
    for caption, (first, second, _) in ANSWERS.items():
        if f"Old caption: {caption}\n" in question:
            return str(second)
        if question.endswith(f": {caption}"):
            return first
    return "{}"


def home_with(folder: Path, *captions: str) -> Home:
    (folder / "captions.txt").write_text("\n".join(captions) + "\n", encoding="utf-8")
    home = Home(folder / "home")
    ingest([folder / "captions.txt"], home)
    return home


def rows_by_caption(home: Home, base_url: str, *overrides: str, recipe: str = "modern") -> dict[str, dict[str, Any]]:
    served = (
        f"prompt_rewriter.model={MODEL}",
        f"prompt_rewriter.base_url={base_url}",
        "prompt_rewriter.max_retries=0",
    )
    values = load_recipe(recipe, [*served, *overrides])
    inputs = read_inputs(STAGE, home, SHARD)
    record = materialize(STAGE, SHARD, inputs, values, Ledger(home.ledger), shared_models(values), "run")
    assert record.errors == 0
    return {row["source_caption"]: row for row in Ledger(home.ledger).read("prompt_pairs", SHARD).to_pylist()}


def verdict(row: Mapping[str, Any]) -> tuple[str, str, str]:
    return row["rejected_by"] or "", row["source_object"] or "", row["target_object"] or ""


@pytest.mark.parametrize("mode", ["json", pytest.param("caption", marks=pytest.mark.slow)])
def test_answers_are_kept_or_rejected_for_what_is_wrong_with_them(tmp_path: Path, mode: str) -> None:
    home = home_with(tmp_path, *ANSWERS)
    with answering(answer) as (base_url, requests):
        rows = rows_by_caption(home, base_url, f"prompt_pairs.answer={mode}")
    assert {caption: verdict(row) for caption, row in rows.items()} == {
        caption: expected for caption, (_, _, expected) in ANSWERS.items()
    }
    asked = [request for request in requests if "Old caption" in request["messages"][0]["content"]]
    assert len(asked) == sum(second is not None for _, second, _ in ANSWERS.values())
    assert all(request["temperature"] == 0 and "seed" not in request for request in asked)
    for caption, (first, second, _) in ANSWERS.items():
        if rows[caption]["rejected_by"] != "other_language":
            assert (rows[caption]["answer"], rows[caption]["change_answer"]) == (first.strip(), second)


def test_a_server_that_knows_schemas_is_told_one_and_another_is_asked_all_the_same(tmp_path: Path) -> None:
    home = home_with(tmp_path, WINE)
    with answering(answer) as (base_url, requests):
        rows = rows_by_caption(home, base_url)
    assert verdict(rows[WINE]) == ("", "wine glass", "beer glass")
    sent = requests[-1]["response_format"]["json_schema"]["schema"]
    assert list(sent["properties"]) == ["caption", "replaced", "replacement", "kind"]

    def knows_none(request: Mapping[str, Any]) -> str | int:
        return 422 if "response_format" in request else answer(request)

    with answering(knows_none) as (base_url, requests):
        rows = rows_by_caption(home, base_url, "seed=1")
    assert verdict(rows[WINE]) == ("", "wine glass", "beer glass")
    assert ["response_format" in request for request in requests] == [True, False]


def test_the_kinds_that_a_recipe_wants_are_kept_without_asking_again(tmp_path: Path) -> None:
    home = home_with(tmp_path, "A man rides a red bike", WINE)
    with answering(answer) as (base_url, requests):
        rows_by_caption(home, base_url)
        before = len(requests)
        rows = rows_by_caption(home, base_url, "prompt_pairs.kinds=[attribute]")
        assert len(requests) == before
    assert {caption: row["rejected_by"] for caption, row in rows.items()} == {
        "A man rides a red bike": None,
        WINE: "other_kind",
    }


IDENTITIES = {
    "miniature": "4fe7fd989b8db9bf25eb8e0af0844d76ed33dd059070ae378ebfd7a9b2475a1f",
    "modern": "d5528dbb4391f2d5399e0ff1455ef2896a86e2b19fe1cc87b60d7e0605d58ca5",
    "paper": "0c9e1e5919a3689afbe8ebec7e7cd8ed970c77c9e3eeaf64d742cf6eae6e619a",
}
"""What rewrites were known by before rewriters named what they changed."""


@pytest.mark.parametrize("recipe", IDENTITIES)
def test_what_came_later_is_in_no_identity_unless_it_is_used(recipe: str) -> None:
    def identity(answer: str) -> str:
        overrides = [f"prompt_pairs.answer={answer}", "prompt_pairs.language=null"]
        plain = load_recipe("miniature").prompt_pairs
        overrides += [f"prompt_pairs.{name}={json.dumps(getattr(plain, name))}" for name in QUESTIONS]
        return plan_stage(STAGE, load_recipe(recipe, overrides), None).identity(STAGE.measurements[0])

    assert identity("words") == IDENTITIES[recipe]
    assert len({identity(answer) for answer in ("words", "caption", "json")}) == 3


def test_a_shipped_recipe_goes_on_in_a_home_as_it_was_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = home_with(tmp_path, WINE)
    monkeypatch.setenv("IMGDIFF_HOME", str(home.root))
    with answering(lambda request: "A woman holding a beer glass") as (base_url, requests):
        served = (f"prompt_rewriter.model={MODEL}", f"prompt_rewriter.base_url={base_url}")
        assert load_recipe("modern", served).prompt_pairs.answer == "json"
        (home.root / "recipes.json").write_text('{"modern": "0.1.0"}', encoding="utf-8")
        assert load_recipe("modern", served).prompt_pairs.answer == "words"
        rows_by_caption(home, base_url)
        asked = len(requests)
        rows_by_caption(home, base_url)
        assert len(requests) == asked, "nothing is measured anew"
        assert load_recipe("modern", [*served, "prompt_pairs.answer=json"]).prompt_pairs.answer == "json"


def test_a_backend_that_only_rewrites_is_told_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.installed_backend import install

    install(tmp_path, monkeypatch)
    home = home_with(tmp_path, WINE)
    stamped = ["prompt_rewriter.backend=stamp", "prompt_rewriter.model=stamp", "prompt_pairs.answer=caption"]
    recipe = load_recipe("miniature", [*stamped, "prompt_pairs.known_words=[]"])
    with pytest.raises(ModelUnavailable, match=r"set prompt_pairs\.answer to words"):
        materialize(
            STAGE, SHARD, read_inputs(STAGE, home, SHARD), recipe, Ledger(home.ledger), shared_models(recipe), "run"
        )
