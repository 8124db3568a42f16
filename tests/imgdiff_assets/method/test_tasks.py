"""Questions and answers of every task, whichever image comes first."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgdiff_assets.method.box_text import box_text
from imgdiff_assets.method.language import language_named, sentences_of
from imgdiff_assets.method.tasks import LETTERS, SIDES, TASKS, other
from imgdiff_assets.method.wordings import QUESTION_FIELDS

ENGLISH = sentences_of(language_named("english"))
CONVENTIONS = ENGLISH.conventions
NOUNS = ("ball", "apple", "old car", "fire hydrant", "dogs", "umbrella")
PLACES = ("on the grass", "in an old street", "next to a tree", "beside the sea and under a red moon")


def known(source: str = "a red ball", target: str = "a blue cup", **values: Any) -> dict[str, Any]:
    return {
        "source_phrase": source,
        "target_phrase": target,
        "source_caption": "A red ball and a tree on the grass.",
        "target_caption": "a blue cup and a tree on the grass",
        "difference": "the left image shows a red ball",
        "about": "source",
        "too_similar": False,
        "box_text": "[0.10, 0.20, 0.30, 0.40]",
        **values,
    }


def test_every_task_asks_as_it_says() -> None:
    answers = {name: task.ask(known(), "source") for name, task in TASKS.items()}
    assert answers == {
        "difference": {"subject": None, "answer": "The left image shows a red ball."},
        "which_image": {"subject": "a red ball", "answer": "A"},
        "same_or_different": {"subject": None, "answer": "Different."},
        "grounding": {
            "subject": "a red ball in the first image and a blue cup in the second",
            "answer": "[0.10, 0.20, 0.30, 0.40]",
        },
        "edit_instruction": {"subject": None, "answer": "Replace the red ball with a blue cup."},
        "commonality": {"subject": None, "answer": "Both images show something and a tree on the grass."},
        "differences": None,
    }
    for task in TASKS.values():
        assert len(set(task.questions)) >= 3
        for wording in task.questions:
            question = wording.format(**dict.fromkeys(QUESTION_FIELDS, "…"))
            assert question[-1] in ".?"
            assert ("{region}" in wording) == task.marked, "a region is pointed at where it is marked, and only there"


@given(about=st.sampled_from(SIDES), first=st.sampled_from(SIDES))
def test_the_other_order_gives_the_other_letter(about: str, first: str) -> None:
    ask = TASKS["which_image"].ask
    one, two = ask(known(about=about), first), ask(known(about=about), other(first))
    assert one is not None
    assert two is not None
    assert one["subject"] == two["subject"]
    assert {one["answer"], two["answer"]} == set(LETTERS)
    assert (one["answer"] == LETTERS[0]) == (about == first)


@given(
    start=st.sampled_from(["", "a cat and ", "two men with ", "the old man sees "]),
    old=st.sampled_from(NOUNS),
    new=st.sampled_from(NOUNS),
    place=st.sampled_from(PLACES),
    article=st.sampled_from(["a ", "the ", ""]),
)
def test_the_other_order_is_the_edit_backwards(start: str, old: str, new: str, place: str, article: str) -> None:
    if old == new or (article == "a " and "dogs" in (old, new)):
        return
    captions = {
        "source_caption": f"{start}{article}{old} {place}",
        "target_caption": f"{start}{article}{new} {place}",
    }
    there, back = (TASKS["edit_instruction"].ask(captions, first) for first in SIDES)
    assert there is not None
    assert back is not None
    indefinite = language_named("english").phrases.article
    assert there["answer"] == f"Replace the {old} with {'the ' + new if article == 'the ' else indefinite(new)}."
    assert back["answer"] == f"Replace the {new} with {'the ' + old if article == 'the ' else indefinite(old)}."
    both = [TASKS["commonality"].ask(captions, first) for first in SIDES]
    assert both[0] == both[1] is not None
    assert both[0]["answer"] == f"Both images show {start}something {place}."


def test_an_insertion_is_no_replacement() -> None:
    captions = {"source_caption": "the dog", "target_caption": "the dog runs"}
    assert TASKS["edit_instruction"].ask(captions, "source") is None
    assert TASKS["commonality"].ask({"source_caption": "a ball", "target_caption": "a cup"}, "source") is None


def test_pairs_rejected_as_too_similar_are_the_same_in_any_order() -> None:
    for first in SIDES:
        answer = TASKS["same_or_different"].ask(known(too_similar=True), first)
        assert answer == {"subject": None, "answer": "Same."}


@pytest.mark.parametrize(
    ("source", "target", "objects", "edit", "common"),
    [
        (
            "A wine glass next to a plate.",
            "A beer glass next to a plate.",
            ("wine glass", "beer glass"),
            "Replace the wine glass with a beer glass.",
            "Both images show something next to a plate.",
        ),
        (
            "A tennis racket lies on the court",
            "A tennis ball lies on the court",
            ("tennis racket", "tennis ball"),
            "Replace the tennis racket with a tennis ball.",
            "Both images fit the description “something lies on the court”.",
        ),
        (
            "Two dogs playing in the snow.",
            "Two cats playing in the snow.",
            (None, None),
            "Replace the two dogs with two cats.",
            "Both images show something playing in the snow.",
        ),
        (
            "A man walking his dog in Paris",
            "A man walking his cat in Paris",
            ("dog", "cat"),
            "Replace his dog with his cat.",
            "Both images show a man walking something in Paris.",
        ),
        (
            "A sink, a toilet, and a bathtub near a door",
            "A sink, a toilet, and an oven near a door",
            ("bathtub", "oven"),
            "Replace the bathtub with an oven.",
            "Both images show a sink, a toilet, and something near a door.",
        ),
        ("A red bike on a road", "A blue bike on a road", (None, None), None, None),
        ("A woman sitting on a bench", "A woman standing on a bench", (None, None), None, None),
        ("Two dogs on a bench", "Three dogs on a bench", (None, None), None, None),
    ],
)
def test_an_edit_and_what_is_common_are_sentences(
    source: str, target: str, objects: tuple[str | None, str | None], edit: str | None, common: str | None
) -> None:
    row = {"source_caption": source, "target_caption": target}
    row |= {"source_object": objects[0], "target_object": objects[1]}  # type: ignore[dict-item]
    told = [TASKS[name].ask(row, "source") for name in ("edit_instruction", "commonality")]
    assert [None if one is None else one["answer"] for one in told] == [edit, common]


def test_a_change_of_another_kind_is_no_edit() -> None:
    row = {"source_caption": "a dog at night", "target_caption": "a dog at dawn", "change_kind": "attribute"}
    assert TASKS["edit_instruction"].ask(row, "source") is None


@given(
    box=st.tuples(*[st.floats(-50, 400, allow_nan=False)] * 4),
    size=st.tuples(st.integers(1, 300), st.integers(1, 300)),
    coordinates=st.sampled_from(list(CONVENTIONS)),
)
def test_a_box_is_told_inside_the_image(box: tuple[float, ...], size: tuple[int, int], coordinates: Any) -> None:
    numbers = [float(text) for text in box_text(box, *size, coordinates).strip("[]").split(",")]
    limits = {"fraction": (1, 1), "thousandths": (1000, 1000), "pixels": size}[coordinates]
    assert all(0 <= number <= limit for number, limit in zip(numbers, (*limits, *limits), strict=True))


def test_the_conventions_differ() -> None:
    told = {name: box_text((10, 20, 30, 60), 40, 80, name) for name in CONVENTIONS}  # type: ignore[arg-type]
    assert told == {
        "fraction": "[0.25, 0.25, 0.75, 0.75]",
        "thousandths": "[250, 250, 750, 750]",
        "pixels": "[10, 20, 30, 60]",
    }
    assert ENGLISH.region not in "".join(CONVENTIONS.values())
