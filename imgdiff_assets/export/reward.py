"""Rewards for answers about image differences: 1 for right, 0 for wrong, and of a box how well it fits.

This file stands beside the data that it is about, and needs nothing but Python. `solution` of a row says in JSON what
is right: `{"answer": "A"}`, or `{"box": [x1, y1, x2, y2]}` in the units that the question names. Only what is answered
counts, not what is thought before: what stands behind `</think>`, and of that what is between `<answer>` and
`</answer>`, if these are there. Who names two choices, or more numbers than a box has, has answered nothing.

verl:      custom_reward_function.path=FOLDER/reward.py  custom_reward_function.name=compute_score
TRL:       GRPOTrainer(reward_funcs=imgdiff_reward, train_dataset=..., ...)
ms-swift:  --external_plugins FOLDER/reward.py --reward_funcs imgdiff
"""

import importlib
import json
import re
import sys
from typing import Any

TASKS = ("which_image", "same_or_different", "grounding")
"""Those whose answers are judged here."""

NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
BETWEEN = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
SAID_BEFORE = frozenset(["the", "final", "correct", "answer", "is", "image", "picture", "option", "choice"])
"""What may stand beside a choice: "The answer is image A."."""


def solution_of(task: str, answer: str) -> str:
    """The `solution` of a right answer to one of TASKS."""
    right = {"box": [float(number) for number in re.findall(r"[\d.]+", answer)]} if task == "grounding" else None
    return json.dumps(right or {"answer": answer}, ensure_ascii=False)


def reward(text: str, solution: str) -> float:
    """How right an answer is, from 0 to 1; `text` is all that the model wrote."""
    answer, right = answered(text), json.loads(solution)
    if answer is None:
        return 0.0
    if "box" in right:
        return overlap(answer, right["box"])
    return float(chosen(answer) == chosen(right["answer"]))


def answered(text: str) -> str | None:
    """The part of a text that is its answer; None where there is none, or more than one."""
    text = text.rpartition("</think>")[2]
    if "<think>" in text:  # and never came to an end
        return None
    if "<answer>" not in text and "</answer>" not in text:
        return text
    found = BETWEEN.findall(text)
    return found[0] if len(found) == 1 and text.count("<answer>") == text.count("</answer>") == 1 else None


def chosen(answer: str) -> list[str]:
    """The words of a choice, without those that may stand beside it."""
    found = re.findall(r"\w+", answer.casefold())
    return [word for word in found if word not in SAID_BEFORE]


def overlap(answer: str, box: list[float]) -> float:
    """Intersection over union of the one box that is named and the right one; 0 where no one box is."""
    numbers = [float(number) for number in NUMBER.findall(answer)]
    if len(numbers) != 4 or numbers[0] >= numbers[2] or numbers[1] >= numbers[3]:
        return 0.0
    width = min(numbers[2], box[2]) - max(numbers[0], box[0])
    height = min(numbers[3], box[3]) - max(numbers[1], box[1])
    common = max(width, 0.0) * max(height, 0.0)
    areas = [(x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in (numbers, box)]
    return common / (sum(areas) - common)


def compute_score(data_source: str, solution_str: str, ground_truth: str, extra_info: Any = None, **_: Any) -> float:
    """What verl calls, with one answer."""
    return reward(solution_str, ground_truth)


def imgdiff_reward(completions: list[Any], solution: list[str], **_: Any) -> list[float]:
    """What TRL calls, with a list of answers: texts, or conversations that end with them."""
    texts = [said if isinstance(said, str) else _text(said[-1]["content"]) for said in completions]
    return [reward(text, right) for text, right in zip(texts, solution, strict=True)]


def _text(content: Any) -> str:
    return str(content) if isinstance(content, str) else "".join(part.get("text", "") for part in content)


if "swift" in sys.modules:  # which loads this file as its plugin
    rewards = importlib.import_module("swift.rewards")

    class ImgDiffReward(rewards.ORM):  # type: ignore[misc, name-defined]
        """What ms-swift calls, under the name `imgdiff`."""

        def __call__(self, completions: list[Any], solution: list[str], **_: Any) -> list[float]:
            return imgdiff_reward(completions, solution)

    rewards.orms["imgdiff"] = ImgDiffReward
