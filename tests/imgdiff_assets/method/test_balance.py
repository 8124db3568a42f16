"""What is left out of a set, and which captions validate, is a function of the samples and not of their order."""

import random
from collections import Counter
from typing import Any

import pytest

from imgdiff_assets.common.hashing import content_id
from imgdiff_assets.method.balance import surplus, validating

TASKS = ["which_image"] * 30 + ["difference"] * 12 + ["grounding"] * 5


def samples(seed: int = 0) -> list[dict[str, Any]]:
    rng = random.Random(seed)
    rows = []
    for number, task in enumerate(TASKS):
        replaced = rng.choice(["dog", "dog", "dog", "cat", "owl"])
        letter = rng.choice("AAAB") if task == "which_image" else ""
        groups = {"kind": "object", "object": replaced, "replacement": f"{replaced} → eel"}
        rows.append(
            {
                "sample_id": content_id(number),
                "caption_id": f"caption {number // 2}",
                "split": "train",
                "kept": True,
                "task": task,
                "answer": letter,
                "wording": rng.choice(["one", "another"]),
                **groups,
            }
        )
    return rows


def kept(rows: list[dict[str, Any]], **settings: Any) -> list[dict[str, Any]]:
    found = surplus(rows, settings.get("shares", {}), settings.get("caps", {}), settings.get("letters", False))
    return [row for row, group in zip(rows, found, strict=True) if group is None]


@pytest.mark.parametrize(
    "settings",
    [
        {"shares": {"task": {"which_image": 1, "difference": 1}}},
        {"caps": {"object": 6, "task": 10}, "letters": True},
        {"letters": True},
    ],
)
def test_no_order_changes_what_stays(settings: dict[str, Any]) -> None:
    rows, shuffled = samples(), samples()
    random.Random(1).shuffle(shuffled)
    assert {row["sample_id"] for row in kept(rows, **settings)} == {
        row["sample_id"] for row in kept(shuffled, **settings)
    }
    assert 0 < len(kept(rows, **settings)) < len(rows)


def test_shares_hold_and_the_scarcest_and_the_unnamed_stay() -> None:
    counts = Counter(row["task"] for row in kept(samples(), shares={"task": {"which_image": 1, "difference": 0.5}}))
    assert counts == {"which_image": 24, "difference": 12, "grounding": 5}
    assert kept(samples(), shares={"task": {"which_image": 1, "nothing has it": 9}}) == samples()


def test_caps_hold_in_each_split() -> None:
    rows = [{**row, "split": "train" if number % 2 else "validation"} for number, row in enumerate(samples())]
    before, after = (
        Counter((row["split"], row["object"]) for row in some) for some in (rows, kept(rows, caps={"object": 3}))
    )
    assert after == {value: min(count, 3) for value, count in before.items()}


def test_either_letter_is_the_answer_to_each_wording_as_often() -> None:
    rows = kept(samples(), letters=True)
    letters = Counter((row["wording"], row["answer"]) for row in rows if row["answer"])
    for wording in ("one", "another"):
        assert letters[wording, "A"] == letters[wording, "B"] > 0
    assert [row for row in rows if not row["answer"]] == [row for row in samples() if not row["answer"]]


def test_leaving_out_for_a_share_leaves_out_for_the_letters_too() -> None:
    """Those of the more frequent letter go first, so that none more need go."""
    share = {"shares": {"task": {"which_image": 1, "difference": 1}}}
    assert abs(len(kept(samples(), **share)) - len(kept(samples(), **share, letters=True))) <= 4


def test_the_validation_split_holds_its_fraction_of_every_sort() -> None:
    rows = samples()
    for fraction in (0.1, 0.2, 0.5):
        chosen = validating(rows, ["task"], seed=0, fraction=fraction)
        held = Counter(row["task"] for row in rows if row["caption_id"] in chosen)
        for task, count in Counter(TASKS).items():
            assert abs(held[task] - fraction * count) <= 2, (task, fraction)


def test_many_small_shards_together_hold_the_fraction() -> None:
    rows = [{**row, "caption_id": f"{row['sample_id']}"} for row in samples()]
    held = sum(
        len(validating([{**row, "caption_id": f"{shard} {row['caption_id']}"} for row in rows[:4]], ["kind"], 0, 0.1))
        for shard in range(200)
    )
    assert held == pytest.approx(0.1 * 4 * 200, rel=0.2)


def test_captions_of_which_nothing_is_kept_lie_where_their_hash_says() -> None:
    rows = [{**row, "kept": False} for row in samples()]
    assert 0 < len(validating(rows, ["task"], 0, 0.5)) < len({row["caption_id"] for row in rows})
