"""Rewards: what is right earns, what only looks so does not; and the rows are what trainers read."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from imgdiff_assets.export.exporting import export
from imgdiff_assets.export.formats import formats
from imgdiff_assets.export.grpo import TASKS, solution_of
from imgdiff_assets.export.options import ExportError, Options
from imgdiff_assets.export.reward import compute_score, imgdiff_reward, reward
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.reading.gathered import gather

SHARDS = ["shard-000000", "shard-000001"]
A, SAME, BOX = ('{"answer": "A"}', '{"answer": "Same."}', '{"box": [0.1, 0.2, 0.5, 0.6]}')


@pytest.mark.parametrize(
    ("solution", "text"),
    [
        (A, "A"),
        (A, " (a)."),
        (A, "**A**"),
        (A, "The correct answer is image A."),
        (A, "<think>B? No: B is the other.</think>A"),
        (A, "<think>\nB?</think>\n\n<answer> A </answer>"),
        (A, "I compare the two, and A has the cat.\n<answer>A</answer>"),
        (SAME, "same"),
        (SAME, "Answer: Same."),
        ('{"answer": "相同。"}', "相同"),
        (BOX, "[0.10, 0.20, 0.50, 0.60]"),
        (BOX, "<think>[0.9, 0.9, 1, 1]</think>The answer is [0.1, 0.2, 0.5, 0.6]."),
    ],
)
def test_what_is_right_earns_all(solution: str, text: str) -> None:
    assert reward(text, solution) == 1


@pytest.mark.parametrize(
    ("solution", "text"),
    [
        (A, ""),
        (A, "B"),
        (A, "A or B"),
        (A, "A B A B"),
        (A, "A is wrong, B is right"),
        (A, "not A"),
        (A, "A dog is in the first image."),
        (A, "<answer>A</answer><answer>B</answer>"),
        (A, "<answer>A"),
        (A, "</answer>A<answer>"),
        (A, "<think>The answer is A"),
        (A, "<think>A</think>"),
        (SAME, "Same. Different."),
        (SAME, "not the same"),
        (BOX, "[0.1, 0.2, 0.5, 0.6] or [0.3, 0.2, 0.7, 0.6]"),
        (BOX, "[0.5, 0.6, 0.1, 0.2]"),
        (BOX, "[10, 20, 50, 60]"),
        (BOX, "[0.1, 0.2, 0.5]"),
        (BOX, "[nan, nan, nan, nan]"),
        (BOX, "[-1e999, -1e999, 1e999, 1e999]"),
        (BOX, "[0.1, 0.2, 0.1, 0.6]"),
    ],
)
def test_what_only_looks_right_earns_nothing(solution: str, text: str) -> None:
    assert reward(text, solution) == 0


def test_a_box_earns_what_it_shares_with_the_right_one() -> None:
    assert reward("[0.1, 0.2, 0.3, 0.6]", BOX) == pytest.approx(0.5)
    assert reward("[0, 0, 1, 1]", BOX) == pytest.approx(0.16), "the whole picture"
    assert reward("[-9, -9, 9, 9]", BOX) < 0.001


def test_each_trainer_calls_it_as_it_does() -> None:
    assert compute_score("imgdiff", "A", A, {"index": 0}, reward_router_address=None) == 1
    said = [
        [{"role": "assistant", "content": "A"}],
        [{"role": "assistant", "content": [{"type": "text", "text": "B"}]}],
    ]
    assert imgdiff_reward(completions=said, prompts=[], solution=[A, A], difficulty=[0.1, 0.2]) == [1, 0]
    assert imgdiff_reward(["A"], [A]) == [1]


def written(home: Home, out: Path, **options: Any) -> list[dict[str, Any]]:
    from datasets import load_dataset

    export(Ledger(home.ledger), SHARDS, formats()["grpo"], out, Options(**options), lambda *told: None)
    splits = load_dataset(str(out), cache_dir=str(out.with_name("cache")))
    return [row for split in splits.values() for row in split]


def test_every_sample_that_can_be_judged_is_there_as_trainers_read_it(task_home: Home, tmp_path: Path) -> None:
    samples = {sample.sample_id: sample for sample in gather(Ledger(task_home.ledger), SHARDS, TASKS)}
    rows = written(task_home, tmp_path / "out")
    assert {row["extra_info"]["sample_id"] for row in rows} == set(samples)
    assert {sample.task for sample in samples.values()} == set(TASKS)
    names: dict[str, Any] = {}
    exec((tmp_path / "out" / "reward.py").read_text(encoding="utf-8"), names)
    for row in rows:
        sample = samples[row["extra_info"]["sample_id"]]
        assert row["prompt"] == row["messages"]
        (said,) = row["prompt"]
        assert said["content"].count("<image>") == len(row["images"]) == 2
        assert all(isinstance(picture, Image.Image) for picture in row["images"])
        assert row["reward_model"] == {"style": "rule", "ground_truth": row["solution"]}
        assert names["reward"](sample.answer, row["solution"]) == 1
        assert 0 <= row["difficulty"] <= 1
        wrong = {"A": "B", "B": "A", "Same.": "Different.", "Different.": "Same."}.get(sample.answer, "[0, 0, 0, 0]")
        assert names["reward"](wrong, row["solution"]) == 0


def test_some_of_its_tasks_can_be_chosen_and_no_other(task_home: Home, tmp_path: Path) -> None:
    rows = written(task_home, tmp_path / "out", tasks=("grounding",))
    assert {row["extra_info"]["task"] for row in rows} == {"grounding"}
    with pytest.raises(ExportError, match="has only the tasks which_image, same_or_different, grounding"):
        written(task_home, tmp_path / "none", tasks=("grounding", "difference"))


def test_a_set_without_such_tasks_says_where_they_are_chosen(drawn_home: Home, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"no kept samples of which_image, .*`fine_tune_set.tasks` of the recipe"):
        written(drawn_home, tmp_path / "out")


def test_a_box_is_told_in_the_units_of_the_question() -> None:
    assert json.loads(solution_of("grounding", "[12, 3, 998, 1000]")) == {"box": [12, 3, 998, 1000]}
