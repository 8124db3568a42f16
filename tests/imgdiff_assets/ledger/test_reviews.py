"""Verdicts of reviewers: durable, counted once, and obeyed by the fine-tune set."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from imgdiff_assets.engine.parents import read_inputs
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.reviews import (
    ACCEPT,
    LONGEST_NOTE,
    REJECT,
    WITHDRAWN,
    Review,
    ReviewError,
    add_review,
    consensus,
    read_reviews,
)
from imgdiff_assets.lineage.lineage import Node, lineage
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.fine_tune_set import STAGE
from imgdiff_assets.statistics.funnel import funnel
from imgdiff_assets.what_if.what_if import what_if

SHARDS = ("shard-000000", "shard-000001")
ANN = Review("0123456789abcdef", SHARDS[0], "Ann", ACCEPT)


def samples(home: Home, shard: str = SHARDS[0]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = Ledger(home.ledger).read("fine_tune_set", shard).to_pylist()
    return rows


@pytest.mark.parametrize(
    ("verdicts", "said"),
    [
        ([], None),
        ([WITHDRAWN], None),
        ([ACCEPT], ACCEPT),
        ([REJECT], REJECT),
        ([ACCEPT, REJECT], REJECT),
        ([ACCEPT, ACCEPT, REJECT], ACCEPT),
        ([REJECT, WITHDRAWN, ACCEPT, ACCEPT], ACCEPT),
    ],
)
def test_a_tie_rejects(verdicts: list[str], said: str | None) -> None:
    assert consensus([replace(ANN, verdict=verdict) for verdict in verdicts]) == said


def test_the_latest_line_of_a_reviewer_counts_and_none_is_lost(tmp_path: Any) -> None:
    home = Home(tmp_path)
    assert read_reviews(home).by_sample == {}
    for verdict in (ACCEPT, REJECT, WITHDRAWN, REJECT):
        add_review(home, replace(ANN, verdict=verdict, note="<b>\u202e\n"))
    add_review(home, replace(ANN, reviewer=" Bob  B. "))
    reviews = read_reviews(home)
    assert {name: review.verdict for name, review in reviews.by_sample[ANN.sample_id].items()} == {
        "Ann": REJECT,
        "Bob B.": ACCEPT,
    }
    assert reviews.reviewers == ["Ann", "Bob B."]
    assert reviews.of_shard(SHARDS[0]) == {ANN.sample_id: REJECT}
    assert reviews.of_shard(SHARDS[1]) == {}
    assert len(home.reviews.read_bytes().splitlines()) == 5


def test_a_torn_line_spoils_no_other(tmp_path: Any) -> None:
    home = Home(tmp_path)
    add_review(home, ANN)
    with home.reviews.open("ab") as file:
        file.write(b'{"sample_id": "0123')
    add_review(home, replace(ANN, reviewer="Bob"))
    with home.reviews.open("ab") as file:
        file.write(b'[]\n{"verdict": "accept"}\n')
    reviews = read_reviews(home)
    assert reviews.unreadable == (2, 4, 5)
    assert set(reviews.by_sample[ANN.sample_id]) == {"Ann", "Bob"}


def test_lines_of_earlier_and_of_later_releases_are_read(tmp_path: Any) -> None:
    home = Home(tmp_path)
    line = {"sample_id": ANN.sample_id, "shard": SHARDS[0], "verdict": REJECT}
    earlier = {
        **line,
        "reviewer": "Bob",
        "note": "",
        "queue": "random",
        "score": "",
        "at": "2026-01-05T09:00:00+00:00",
    }
    later = {**line, "reviewer": "Cem", "first": "target", "corrected_caption": "a red ball", "seconds": [1, 2]}
    home.reviews.write_text(f"{json.dumps(earlier)}\n{json.dumps(later)}\n", encoding="utf-8")
    add_review(home, replace(ANN, first="target"))
    reviews = read_reviews(home)
    assert reviews.unreadable == ()
    said = reviews.by_sample[ANN.sample_id]
    assert {name: review.first for name, review in said.items()} == {"Bob": "", "Cem": "target", "Ann": "target"}
    assert [said[name].misled("target") for name in ("Ann", "Bob", "Cem")] == [False, True, False]
    assert [said[name].misled("source") for name in ("Ann", "Bob", "Cem")] == [True, False, True]
    assert reviews.of_shard(SHARDS[0]) == {ANN.sample_id: REJECT}, "what was said goes on being obeyed"


def test_reviewers_may_write_at_once(tmp_path: Any) -> None:
    home = Home(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: add_review(home, replace(ANN, sample_id=f"{n:016x}", note="x" * 500)), range(80)))
    reviews = read_reviews(home)
    assert (len(reviews.by_sample), reviews.unreadable) == (80, ())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"reviewer": " "}, "a reviewer's name"),
        ({"reviewer": "x" * 61}, "a reviewer's name"),
        ({"reviewer": "A\u202eB"}, "a reviewer's name"),
        ({"verdict": "perhaps"}, "'perhaps' is not a verdict"),
        ({"queue": "mine"}, "'mine' is not a queue"),
        ({"reason": "wrong side"}, "is rejected has a reason"),
        ({"verdict": REJECT, "reason": "x" * 61}, "is rejected has a reason"),
        ({"note": "x" * (LONGEST_NOTE + 1)}, "a note has at most"),
    ],
)
def test_what_cannot_be_recorded_is_refused(tmp_path: Any, change: dict[str, Any], words: str) -> None:
    with pytest.raises(ReviewError, match=words):
        add_review(Home(tmp_path), replace(ANN, **change))
    assert not Home(tmp_path).reviews.exists()


def nodes(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from nodes(child)


def test_the_fine_tune_set_obeys_and_measures_nothing(own_home: Home, drawn_recipe: Recipe, run_stages: Any) -> None:
    before = samples(own_home)
    kept = [row["sample_id"] for row in before if row["kept"]]
    others = read_inputs(STAGE, own_home, SHARDS[1]).hash
    stale = read_inputs(STAGE, own_home, SHARDS[0]).hash
    add_review(own_home, Review(kept[0], SHARDS[0], "Ann", REJECT, note="the box is empty"))
    add_review(own_home, Review(kept[1], SHARDS[0], "Ann", ACCEPT))
    assert read_inputs(STAGE, own_home, SHARDS[0]).hash != stale
    assert read_inputs(STAGE, own_home, SHARDS[1]).hash == others, "other shards are not touched"

    run_stages(own_home, drawn_recipe, SHARDS, ["fine_tune_set"])
    after = {row["sample_id"]: row for row in samples(own_home)}
    assert [after[name]["kept"] for name in kept] == [False] + [True] * (len(kept) - 1)
    assert after[kept[0]]["rejected_by"] == "review"
    assert [after[name]["review"] for name in kept[:2]] == [REJECT, ACCEPT]
    assert (
        after[kept[0]]["conversations"] == next(row for row in before if row["sample_id"] == kept[0])["conversations"]
    )
    record = Ledger(own_home.ledger).record("fine_tune_set", SHARDS[0])
    assert record is not None
    assert (record["measured"], record["rejections"]["review"]) == (0, 1)
    assert funnel(Ledger(own_home.ledger)).stages[-1].rejected["review"] == 1
    (node,) = [node for node in nodes(lineage(own_home, drawn_recipe, kept[0])) if node.table == "fine_tune_set"]
    assert node.verdict == "rejected by review: the people who looked at it rejected it"

    answer = what_if(own_home, drawn_recipe, SHARDS)
    assert answer.stages[-1].then == answer.stages[-1].present
    assert answer.notes == []

    add_review(own_home, Review(kept[0], SHARDS[0], "Ann", WITHDRAWN))
    assert any("older than what they were made from" in note for note in what_if(own_home, drawn_recipe, SHARDS).notes)
    run_stages(own_home, drawn_recipe, SHARDS, ["fine_tune_set"])
    assert [row["kept"] for row in samples(own_home)] == [row["kept"] for row in before]
