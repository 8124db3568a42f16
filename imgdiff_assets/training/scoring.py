"""How right answers are: what code can judge by rewards, differences by what both sides show, other texts by words."""

import math
from collections import Counter
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

from imgdiff_assets.export.grpo import TASKS as REWARDED
from imgdiff_assets.export.grpo import solution_of
from imgdiff_assets.export.reward import answered, reward
from imgdiff_assets.method.agreement import agreement
from imgdiff_assets.method.caption_edit import words
from imgdiff_assets.method.language import Language, language_named, language_names, sentences_in
from imgdiff_assets.method.tasks import SAME
from imgdiff_assets.training.held_out import Item

RIGHT = 0.999
"""From this score on an answer is right: agreements are sums."""

NINETY_FIVE = 1.959964


def score(item: Item, said: str) -> float:
    """How right an answer is, 0 to 1."""
    if item.task in REWARDED:
        return reward(said, solution_of(item.task, item.answer))
    text = answered(said)
    if text is None:
        return 0.0
    if item.task == "difference" and item.seen is not None:
        return agreement(text, *item.seen, _language(item.question))
    return overlap(text, item.answer)


def _language(question: str) -> Language:
    spoken = sentences_in(question)
    return next(language for name in language_names() if (language := language_named(name)).sentences is spoken)


def overlap(said: str, right: str) -> float:
    """F1 of the words of two texts; of two lists, of several lines, of their entries."""
    if "\n" in right.strip():
        return _f1(Counter(_entries(said)), Counter(_entries(right)))
    return _f1(Counter(words(said)), Counter(words(right)))


def _entries(text: str) -> list[str]:
    """The lines of a list without their numbers and dashes, as words; each once."""
    entries = [" ".join(words(line.lstrip(" -*•0123456789.)("))) for line in text.splitlines()]
    return list(dict.fromkeys(filter(None, entries)))


def _f1(said: Counter[str], right: Counter[str]) -> float:
    common = (said & right).total()
    return 2 * common / (said.total() + right.total()) if common else 0.0


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
