"""How right a model's answers are together: means by task, intervals, and d' of questions of same or different."""

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

from imgdiff_assets.export.reward import reward
from imgdiff_assets.method.tasks import SAME
from imgdiff_assets.training.held_out import Item

RIGHT = 0.999
"""From this score on an answer is right: agreements are sums."""

NINETY_FIVE = 1.959964


def summary(items: Sequence[Item], scores: Sequence[float], answers: Sequence[str]) -> dict[str, Any]:
    """By task: `count`, the mean `score`, the share that is `right` with its 95 % interval (Wilson), and of questions
    whether two images are the same `hits`, `false_alarms` and `d_prime`: how well different pairs are told from equal
    ones, whatever the model is inclined to say."""
    told: dict[str, Any] = {}
    for task in dict.fromkeys(item.task for item in items):
        rows = [number for number, item in enumerate(items) if item.task == task]
        right = [scores[number] >= RIGHT for number in rows]
        told[task] = {
            "count": len(rows),
            "score": sum(scores[number] for number in rows) / len(rows),
            "right": sum(right) / len(rows),
            "right_95": list(wilson(sum(right), len(rows))),
        }
        if task == "same_or_different":
            told[task] |= _detection([(items[number], bool(scores[number] >= RIGHT)) for number in rows])
        if task == "which_image":
            told[task]["says_A"] = sum(reward(answers[number], '{"answer": "A"}') for number in rows) / len(rows)
    return told


def _detection(judged: Sequence[tuple[Item, bool]]) -> dict[str, float | None]:
    different = [right for item, right in judged if item.answer not in SAME]
    same = [right for item, right in judged if item.answer in SAME]
    if not different or not same:
        return {"d_prime": None}
    hits, false_alarms = sum(different), len(same) - sum(same)
    return {
        "hits": hits / len(different),
        "false_alarms": false_alarms / len(same),
        "d_prime": d_prime(hits, len(different), false_alarms, len(same)),
    }


def d_prime(hits: int, of_different: int, false_alarms: int, of_same: int) -> float:
    """The distance of two shares in standard deviations; each count half a pair off, so that none and all have one
    (the log-linear rule, Hautus 1995)."""

    def place(count: int, total: int) -> float:
        return NormalDist().inv_cdf((count + 0.5) / (total + 1))

    return place(hits, of_different) - place(false_alarms, of_same)


def wilson(right: int, count: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927)."""
    share, z = right / count, NINETY_FIVE
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return max(0.0, middle - half), min(1.0, middle + half)
