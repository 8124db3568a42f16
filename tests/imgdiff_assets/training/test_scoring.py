"""Scores: what is right earns all, d' does not reward an inclination, intervals hold what they should."""

import pytest

from imgdiff_assets.training.held_out import Item
from imgdiff_assets.training.scoring import score
from imgdiff_assets.training.summary import d_prime, summary, wilson


def item(task: str, answer: str, seen: tuple[str, str] | None = None, number: int = 0) -> Item:
    return Item(f"{task}{number}", task, "What is different between the two images?", answer, (), seen)


@pytest.mark.parametrize(
    ("asked", "said", "expected"),
    [
        (item("which_image", "A"), "The answer is A.", 1.0),
        (item("which_image", "A"), "A or B", 0.0),
        (item("same_or_different", "Different."), "different", 1.0),
        (item("grounding", "[0.1, 0.2, 0.5, 0.6]"), "[0.1, 0.2, 0.3, 0.6]", 0.5),
        (item("edit_instruction", "Replace the dog with a cat."), "replace the dog with a cat", 1.0),
        (item("edit_instruction", "Replace the dog with a cat."), "", 0.0),
        (item("edit_instruction", "Replace the dog with a cat."), "<think>Replace the dog with a cat.", 0.0),
        (item("lists", "1. a dog\n2. a cat"), "- a cat\n- a dog", 1.0),
        (item("lists", "1. a dog\n2. a cat"), "a cat", 2 / 3),
        (item("lists", "1. a dog\n2. a cat"), "a cat\na cat\na dog\na boat", 0.8),
    ],
)
def test_an_answer_is_scored_as_its_task_is(asked: Item, said: str, expected: float) -> None:
    assert score(asked, said) == pytest.approx(expected)


def test_a_difference_is_right_however_it_is_worded_and_wrong_on_the_wrong_side() -> None:
    asked = item("difference", "The left image shows a dog and the right image shows a cat.", ("a dog", "a cat"))
    assert score(asked, "The dog on the left was replaced by a cat on the right.") == 1
    assert score(asked, "The left image shows a cat and the right image shows a dog.") < 0.3
    assert score(asked, "Nothing is different.") == 0
    unseen = item("difference", asked.answer)
    assert score(unseen, asked.answer) == 1, "without what is seen, by words"


def test_d_prime_tells_knowing_from_an_inclination_to_say_different() -> None:
    assert d_prime(90, 100, 90, 100) == 0
    assert d_prime(50, 100, 10, 100) > d_prime(95, 100, 80, 100) > 0
    items = [item("same_or_different", "Different.", number=n) for n in range(4)]
    items += [item("same_or_different", "Same.", number=n) for n in range(4, 8)]
    always = summary(items, [1.0] * 4 + [0.0] * 4, ["Different."] * 8)["same_or_different"]
    assert (always["right"], always["d_prime"], always["hits"], always["false_alarms"]) == (0.5, 0, 1, 1)
    told = summary(items, [1.0] * 8, ["Different."] * 4 + ["Same."] * 4)["same_or_different"]
    assert told["d_prime"] > 2
    assert summary(items[:4], [1.0] * 4, [""] * 4)["same_or_different"]["d_prime"] is None, "nothing to tell apart"


def test_which_image_tells_how_often_a_is_said() -> None:
    items = [item("which_image", letter, number=n) for n, letter in enumerate("ABAB")]
    assert summary(items, [1, 0, 1, 0], ["A", "A", "A", "A"])["which_image"]["says_A"] == 1


def test_the_interval_of_a_share_is_wilsons() -> None:
    assert wilson(0, 10) == pytest.approx((0, 0.2775), abs=1e-4)
    assert wilson(5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)
