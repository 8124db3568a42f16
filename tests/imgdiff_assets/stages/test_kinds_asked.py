"""Kinds of difference through the graph: asked for by share, held to what was asked, seen, told and counted."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.method.kind import kind_named
from imgdiff_assets.method.tasks import TASKS
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.stages.bounding_boxes import PAIR_COLUMNS, SOUGHT
from imgdiff_assets.stages.canaries import mistakes
from imgdiff_assets.stages.graph import stage_named
from imgdiff_assets.statistics.by_kind import by_kind, by_kind_text
from tests.answering_server import answering
from tests.imgdiff_assets.stages.test_named_rewrites import SHARD, home_with, named, rows_by_caption

BIKE, DOGS = "A man rides a red bike", "Two dogs play in the snow"
SHARES = 'prompt_pairs.kind_shares={{"{}": 1}}'


def answer(request: Mapping[str, Any]) -> str:
    """What was asked for, but of dogs always other animals."""
    question = request["messages"][0]["content"]
    if question.endswith(DOGS):
        return named("Two cats play in the snow", "two dogs", "two cats", "count")
    if question.startswith(kind_named("attribute_changed").request):
        return named("A man rides a blue bike", "red bike", "blue bike", "attribute")
    return named("A man rides a red scooter", "red bike", "red scooter", "object")


def test_a_rewriter_is_asked_for_the_kind_and_held_to_it(tmp_path: Path) -> None:
    home = home_with(tmp_path, BIKE, DOGS)
    with answering(answer) as (base_url, _):
        rows = rows_by_caption(home, base_url, SHARES.format("attribute_changed"))
        assert {row["asked_kind"] for row in rows.values()} == {"attribute_changed"}
        assert rows[BIKE]["rejected_by"] is None
        assert (rows[BIKE]["source_object"], rows[BIKE]["target_object"]) == ("red bike", "blue bike")
        assert rows[DOGS]["rejected_by"] == "other_kind"
        counted = by_kind(Ledger(home.ledger), [SHARD])
        assert counted == {
            "attribute_changed": {"rewrites": 2, "prompt_pairs": 1, "pairs_with_samples": 0, "samples": 0}
        }
        assert by_kind_text(counted).splitlines()[1].split() == ["attribute_changed", "2", "1", "0", "0"]


def test_what_was_asked_before_there_were_kinds_is_not_asked_again(tmp_path: Path) -> None:
    home = home_with(tmp_path, BIKE)
    with answering(answer) as (base_url, requests):
        before = rows_by_caption(home, base_url)
        asked = len(requests)
        after = rows_by_caption(home, base_url, SHARES.format("object_replaced"))
        assert len(requests) == asked
        assert before == {caption: {**row, **_books(before[caption])} for caption, row in after.items()}
        other = rows_by_caption(home, base_url, SHARES.format("attribute_changed"))
        assert len(requests) > asked
        assert other[BIKE]["pair_id"] != before[BIKE]["pair_id"]


def _books(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("run_id", "measured_at")}


def test_each_attempt_tries_the_next_kind() -> None:
    stage, recipe = stage_named("prompt_pairs"), load_recipe("modern", ["prompt_pairs.attempts=3"])
    captions = pa.table({"caption_id": ["one", "two"], "caption": [BIKE, DOGS]})
    shares = {"object_replaced": 1, "count_changed": 1}
    values = {**stage.values(recipe, stage.item_settings), "kind_shares": shares}
    kinds = stage.items({"caption_file": captions}, values)["asked_kind"].to_pylist()
    assert sorted(kinds[:2], key=str) == sorted(kinds[3:5], key=str) == [None, "count_changed"]
    assert (kinds[0], kinds[3]) == (kinds[2], kinds[5])


@pytest.mark.parametrize(
    ("override", "said"),
    [
        (SHARES.format("style"), "there is no kind 'style'"),
        ('prompt_pairs.kind_shares={"count_changed": 0}', "one is above"),
        ('prompt_pairs.kind_shares={"count_changed": -1, "object_replaced": 1}', "no share is below 0"),
        ('prompt_pairs.kind_questions={"count_changed": "Count."}', r"must contain \{caption\}"),
    ],
)
def test_shares_that_mean_nothing_are_refused(override: str, said: str) -> None:
    with pytest.raises((ValidationError, ValueError), match=said):
        load_recipe("modern", [override])
    with pytest.raises((ValidationError, ValueError), match="needs `answer: json`"):
        load_recipe("miniature", [SHARES.format("count_changed")])


def test_where_there_is_one_more_the_other_image_need_not_show_any() -> None:
    recipe = load_recipe("modern").bounding_boxes
    stage = stage_named("bounding_boxes")
    derived = next(step for step in stage.steps if getattr(getattr(step, "column", None), "name", "") == "match")
    columns = {name: np.array([0.1, 0.1]) if "source" in name else np.array([0.9, 0.9]) for name in derived.reads}
    columns["asked_kind"] = np.array(["count_changed", "attribute_changed"], dtype=object)
    assert derived.compute(columns, recipe).tolist() == [0.9, 0.1]


def test_the_matcher_is_asked_for_things_with_their_articles_where_a_recipe_says_so() -> None:
    """Of a recipe that does not, items and what a match depends on are as they were."""
    prompts = [
        {"source_caption": "A red cup by a dog", "target_caption": "A cup by a dog and an old cat"}
        | {
            "pair_id": "one",
            "source_object": "red cup, dog",
            "target_object": "cup, old cat",
            "asked_kind": "several",
        },
        {"source_caption": "A dog", "target_caption": "A dog on a mat", "pair_id": "two", "source_object": None}
        | {"target_object": "mat", "asked_kind": "object_added"},
    ]
    pairs = pa.table({name: ["one", "two"] for name in PAIR_COLUMNS} | {"kept": [True, True]})
    tables = {"filtered_pairs": pairs, "prompt_pairs": pa.Table.from_pylist(prompts)}
    plain, asking = (load_recipe("miniature", settings) for settings in ((), ["bounding_boxes.match_articles=true"]))
    told = {}
    for name, recipe in (("plain", plain), ("asking", asking)):
        stage = stage_named("bounding_boxes").under(recipe)
        items = stage.items(tables, stage.values(recipe, stage.item_settings))
        match = next(step for step in stage.measurements if step.name == "match")
        told[name] = [
            items.select(list(SOUGHT)).to_pylist() if SOUGHT[0] in items.column_names else None,
            match.inputs,
        ]
    assert told["plain"][0] is None
    assert told["plain"][1] == next(
        step.inputs for step in stage_named("bounding_boxes").measurements if step.name == "match"
    )
    assert told["asking"][1] == (*told["plain"][1], *SOUGHT)
    assert told["asking"][0] == [
        {"source_sought": "a red cup, a dog", "target_sought": "a cup, an old cat"},
        {"source_sought": None, "target_sought": "a mat"},
    ]


def test_filters_notice_rows_of_every_kind() -> None:
    kinds = json.dumps(dict.fromkeys(["count_changed", "attribute_changed"], 1))
    recipe = load_recipe("modern", [f"prompt_pairs.kind_shares={kinds}"])
    assert mistakes(stage_named("prompt_pairs"), recipe.prompt_pairs) == []


def test_an_edit_of_another_kind_names_what_it_changes_and_turns_round() -> None:
    known = {"asked_kind": "count_changed", "source_object": "two dogs", "target_object": "four dogs"}
    ask = TASKS["edit_instruction"].ask
    assert ask(known, "source") == {"subject": None, "answer": "Change “two dogs” to “four dogs”."}
    assert ask(known, "target") == {"subject": None, "answer": "Change “four dogs” to “two dogs”."}
