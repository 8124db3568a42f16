"""Lists of differences, as the task `differences` answers: read, and scored against the true ones.

As DiffCap-Bench does, a list is scored by precision (how many of its entries are true) and recall (how many of the
true differences are in it); each true difference counts for one entry. Here no model judges: an entry is a true
difference where it says the same words in the same order, and its box is there.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from imgdiff_assets.method.regions import iou

ENTRY = re.compile(r"^\s*(?:\d+[.)]|[-*•])\s*(?P<text>.*?)\s*(?:\[(?P<box>[^\]]*)\])?\s*$")
Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Difference:
    """One entry: what is said, and its box as it is told (xyxy); None without one."""

    text: str
    box: Box | None = None


@dataclass(frozen=True, slots=True)
class ListScore:
    """Shares, 0 to 1: of the entries that are true, and of the true differences that are listed."""

    precision: float
    recall: float


def read_list(answer: str) -> list[Difference]:
    """The entries of an answer, one a line; a line without a number or a mark is no entry."""
    found = []
    for line in answer.splitlines():
        if match := ENTRY.match(line):
            numbers = [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", match["box"] or "")]
            box: Box | None = (numbers[0], numbers[1], numbers[2], numbers[3]) if len(numbers) == 4 else None
            found.append(Difference(match["text"], box))
    return found


def score_list(told: Sequence[Difference], true: Sequence[Difference], least_iou: float = 0.5) -> ListScore:
    """Precision and recall of a list; boxes of both in the same units. An empty list is precise, and recalls nothing.

    Raises ValueError where there is no true difference.
    """
    if not true:
        raise ValueError("there is no true difference to list")
    left, right = list(true), 0
    for entry in told:
        same = next((each for each in left if _is(entry, each, least_iou)), None)
        if same is not None:
            left.remove(same)
            right += 1
    return ListScore(right / len(told) if told else 1.0, right / len(true))


def _is(entry: Difference, true: Difference, least_iou: float) -> bool:
    if _said(entry.text) != _said(true.text):
        return False
    if entry.box is None or true.box is None:
        return true.box is None
    return bool(iou(np.array([entry.box]), np.array([true.box]))[0, 0] >= least_iou)


def _said(text: str) -> list[str]:
    """The words in order, without articles."""
    return [word for word in re.findall(r"\w+", text.lower()) if word not in ("a", "an", "the")]
