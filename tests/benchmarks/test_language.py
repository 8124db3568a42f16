"""The goals for answers in the manners of real models, and that the benchmark can tell when they are missed."""

from collections import Counter
from pathlib import Path

import pytest

from benchmarks.handed_cases import handed
from benchmarks.language import (
    CASES,
    KEPT_FROM,
    LOST,
    OUTCOMES,
    REJECTED,
    RIGHT,
    WRONG,
    auc,
    cases_in,
    differences,
    measure,
    regions,
    rewrites,
    summary,
    table,
)

PARTS = {"rewrites": rewrites, "regions": regions, "differences": differences}


@pytest.mark.parametrize("part", PARTS)
def test_answers_are_read_as_they_should_be(part: str) -> None:
    judged = PARTS[part](cases_in(CASES)[part])
    counts = Counter(each.outcome for each in judged)
    assert counts[RIGHT] + counts[REJECTED] >= 0.95 * len(judged)
    assert counts[WRONG] <= 0.02 * len(judged)
    assert part != "differences" or auc(judged) >= 0.9


def test_a_rewrite_that_is_kept_with_other_objects_is_wrong_and_one_that_is_rejected_is_lost() -> None:
    case = next(case for case in cases_in(CASES)["rewrites"] if case["replaced"] == "wine glass")
    assert [each.outcome for each in rewrites([{**case, "replaced": "wine"}, case])] == [WRONG, RIGHT]
    none = {**case, "target": None}
    assert [each.outcome for each in rewrites([{**case, "answer": ""}, none, {**none, "answer": ""}])] == [
        LOST,
        WRONG,
        REJECTED,
    ]


def test_a_region_is_right_by_its_phrase_alone() -> None:
    case = {"manner": "", "language": "english", "answer": "It is a **dog**.", "phrases": ["a dog"]}
    answers = [case, {**case, "phrases": ["a cat"]}, {**case, "phrases": []}, {**case, "answer": "Sorry, no."}]
    assert [each.outcome for each in regions(answers)] == [RIGHT, WRONG, WRONG, LOST]


def test_a_difference_is_kept_by_its_agreement() -> None:
    case = {"manner": "", "language": "english", "source": "a dog", "target": "a cat", "right": True}
    judged = differences(
        [
            {**case, "answer": "The dog became a cat."},
            {**case, "answer": "The cat became a dog."},
            {**case, "answer": "The cat became a dog.", "right": False},
            {**case, "answer": "The dog became a cat.", "right": False},
        ]
    )
    assert [each.outcome for each in judged] == [RIGHT, LOST, REJECTED, WRONG]
    assert [each.score >= KEPT_FROM for each in judged] == [True, False, False, True]
    assert auc(judged) == 0.5
    assert auc(judged[:3:2]) == 1.0


def test_tables_of_cases_are_read(tmp_path: Path) -> None:
    (tmp_path / "rewrites.tsv").write_text(
        "source_caption\tmodel_answer\ttarget_caption\treplaced_object\treplacing_object\n"
        "A motor bike\tSure!\\nA mountain bike\tA mountain bike\tmotor bike\tmountain bike\n"
        "A red bike\tA blue bike\tA blue bike\t\t\n",
        encoding="utf-8",
    )
    judged = measure(handed(tmp_path))
    assert [each.outcome for each in judged["rewrites"]] == [RIGHT, REJECTED]
    assert [each.outcome for each in judged["rewrites, by differing words"]] == [LOST, WRONG]
    parts = summary(judged)
    assert {outcome: parts["rewrites"][outcome] for outcome in OUTCOMES} == {
        "right": 1,
        "rejected": 1,
        "wrong": 0,
        "lost": 0,
    }
    assert "handed" in table(parts)
