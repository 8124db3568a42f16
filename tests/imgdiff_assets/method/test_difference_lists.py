"""Lists of differences: read as they are answered, and scored by precision and recall."""

import pytest

from imgdiff_assets.method.difference_lists import Difference, ListScore, read_list, score_list
from imgdiff_assets.method.tasks import ask_differences

RED = Difference("the left image shows a red ball and the right image shows a blue ball", (0.1, 0.1, 0.4, 0.4))
CUP = Difference("the left image shows nothing and the right image shows a cup", (0.5, 0.5, 0.9, 0.9))


def told(*differences: Difference) -> str:
    known = {
        "differences": [
            {"difference": each.text, "box_text": str(list(each.box)) if each.box else "[]"} for each in differences
        ]
    }
    asked = ask_differences(known, "source")
    return asked["answer"] if asked else ""


def test_what_is_answered_is_read_back() -> None:
    answer = told(RED, CUP)
    assert answer.startswith("1. The left image shows a red ball")
    found = read_list(answer)
    assert [each.box for each in found] == [RED.box, CUP.box]
    assert score_list(found, [RED, CUP]) == ListScore(1.0, 1.0)
    assert told(RED) == "", "one difference is no list"


@pytest.mark.parametrize(
    ("entries", "score"),
    [
        ([], ListScore(1.0, 0.0)),
        ([RED], ListScore(1.0, 0.5)),
        ([RED, RED], ListScore(0.5, 0.5)),
        ([RED, CUP, Difference("a cat is gone", CUP.box)], ListScore(2 / 3, 1.0)),
        ([Difference(RED.text, CUP.box), CUP], ListScore(0.5, 0.5)),
        ([Difference(RED.text), CUP], ListScore(0.5, 0.5)),
        ([Difference(RED.text.replace("blue", "green"), RED.box)], ListScore(0.0, 0.0)),
    ],
)
def test_an_entry_is_true_once_with_its_words_and_its_box(entries: list[Difference], score: ListScore) -> None:
    assert score_list(entries, [RED, CUP]) == score


def test_nothing_to_list_is_no_score_and_other_lines_are_no_entries() -> None:
    with pytest.raises(ValueError, match="no true difference"):
        score_list([], [])
    assert read_list("Here is what differs:\n- a cat\n2) a dog [0, 1, 2, 3]\n\nThat is all.") == [
        Difference("a cat"),
        Difference("a dog", (0.0, 1.0, 2.0, 3.0)),
    ]
