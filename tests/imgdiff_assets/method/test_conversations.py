"""Conversations and the split: functions of ids, whatever else is in the set."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgdiff_assets.common.hashing import content_id
from imgdiff_assets.method.conversations import IMAGE_TOKEN, conversation, pick, sentence, split

CAPTION_IDS = [content_id("caption", number) for number in range(4_000)]


def test_one_turn_over_two_images() -> None:
    human, gpt = conversation("What differs?", "The ball.")
    assert human == {"from": "human", "value": "<image>\n<image>\nWhat differs?"}
    assert gpt == {"from": "gpt", "value": "The ball."}
    assert human["value"].count(IMAGE_TOKEN) == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the left image shows a ball", "The left image shows a ball."),
        ("A cup became a tree.", "A cup became a tree."),
        ("is it a ball?", "Is it a ball?"),
        ("  two\n lines ", "Two lines."),
        ("élan", "Élan."),
        ("McDonald sign", "McDonald sign."),
        ("x", "X."),
        ("", ""),
        (" \n", ""),
    ],
)
def test_answers_read_as_sentences(text: str, expected: str) -> None:
    assert sentence(text) == expected


@given(text=st.text(max_size=40))
@settings(max_examples=60)
def test_a_sentence_stays_as_it_is(text: str) -> None:
    once = sentence(text)
    assert sentence(once) == once


@pytest.mark.parametrize("fraction", [0.0, 0.05, 0.5, 1.0])
def test_the_share_is_near_the_fraction(fraction: float) -> None:
    validation = sum(split(identity, 0, fraction) == "validation" for identity in CAPTION_IDS)
    deviation = (fraction * (1 - fraction) / len(CAPTION_IDS)) ** 0.5
    assert abs(validation / len(CAPTION_IDS) - fraction) <= 4 * deviation


def test_the_split_is_a_function_of_caption_and_seed_alone() -> None:
    first = [split(identity, 0, 0.3) for identity in CAPTION_IDS]
    assert [split(identity, 0, 0.3) for identity in reversed(CAPTION_IDS)] == first[::-1]
    agreeing = sum(one == other for one, other in zip(first, [split(key, 1, 0.3) for key in CAPTION_IDS], strict=True))
    assert abs(agreeing / len(CAPTION_IDS) - (0.3**2 + 0.7**2)) < 0.05, "another seed is another, independent split"


def test_a_larger_fraction_moves_nobody_back_to_training() -> None:
    """Raising the share later must not train on what validated before."""
    before = {key for key in CAPTION_IDS if split(key, 0, 0.1) == "validation"}
    assert before < {key for key in CAPTION_IDS if split(key, 0, 0.2) == "validation"}


def test_wordings_are_picked_by_identity_and_all_of_them() -> None:
    options = ["one", "two", "three"]
    picked = [pick(options, 0, identity) for identity in CAPTION_IDS]
    assert picked == [pick(options, 0, identity) for identity in CAPTION_IDS]
    for option in options:
        assert abs(picked.count(option) / len(picked) - 1 / 3) < 0.05
    assert pick(["only"], "anything") == "only"
