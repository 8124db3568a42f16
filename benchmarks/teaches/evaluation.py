"""Asking the held-out questions, of a model and of what needs none, and scoring the answers."""

import random
import re
from collections.abc import Sequence
from typing import Any

from benchmarks.nuisance import d_prime
from benchmarks.teaches.held_out import DIFFERENCE, SAME, WHICH, Change, HeldOut, Pair
from benchmarks.teaches.model import Asked, Encoder, choose, say
from benchmarks.teaches.skills import WHAT
from resources.miniature.scenes import COLOURS, OBJECTS, parse_caption

Items = dict[str, list[float]]
"""By name of a task, what each of its items scored, 0 to 1, in their order."""

PHRASE = rf"an? (?:{'|'.join(COLOURS)}) (?:{'|'.join(OBJECTS)})"
TOLD = re.compile(rf"the left image shows ({PHRASE}|nothing) and the right image shows ({PHRASE}|nothing)")
TASKS = ("which image", "difference", "says different", "says same", "list")


def told(answer: str) -> list[Change]:
    """The changes that an answer names, left before right."""
    return [(left, right) for left, right in TOLD.findall(answer.lower())]


def f1(named: Sequence[Change], right: Sequence[Change]) -> float:
    """Harmonic mean of precision and recall of two sets; 1 where both are empty."""
    if not named and not right:
        return 1.0
    return 2 * len(set(named) & set(right)) / (len(set(named)) + len(set(right)))


def of_model(model: Any, encoder: Encoder, held_out: HeldOut) -> Items:
    """What the model scores. Choices are forced: the likelier of two first tokens."""
    items: Items = {}
    logits = choose(model, encoder, held_out.which, ["A", "B"])
    right = [asked.answer == "AB"[int(row.argmax())] for asked, row in zip(held_out.which, logits, strict=True)]
    items["which image"] = [float(value) for value in right]
    said = say(model, encoder, [Asked(pair.images, DIFFERENCE, "") for pair in held_out.replaced])
    items["difference"] = [
        float(told(answer) == list(pair.changes)) for answer, pair in zip(said, held_out.replaced, strict=True)
    ]
    for name, pairs in (("says different", held_out.replaced), ("says same", held_out.others)):
        logits = choose(model, encoder, [Asked(pair.images, SAME, "") for pair in pairs], ["different", "same"])
        different = [bool(row[0] > row[1]) for row in logits]
        items[name] = [float(says == (name == "says different")) for says in different]
    said = say(model, encoder, [Asked(pair.images, DIFFERENCE, "") for pair in held_out.lists])
    items["list"] = [f1(told(answer), pair.changes) for answer, pair in zip(said, held_out.lists, strict=True)]
    for skill, asked in held_out.skills.items():
        said = say(model, encoder, asked, longest=18)
        items[skill] = [float(answer == each.answer) for answer, each in zip(said, asked, strict=True)]
    return items


def compared(model: Any, encoder: Encoder, held_out: HeldOut) -> Items:
    """Caption both sides, and compare the texts in code."""
    pairs = [*held_out.replaced, *held_out.others, *held_out.lists]
    said = [say(model, encoder, [Asked((pair.images[side],), WHAT, "") for pair in pairs]) for side in (0, 1)]
    found = [_differing(*both) for both in zip(*said, strict=True)]
    replaced, rest = found[: len(held_out.replaced)], found[len(held_out.replaced) :]
    others, lists = rest[: len(held_out.others)], rest[len(held_out.others) :]
    which = []
    for asked, left, right in zip(held_out.which, *said, strict=False):
        subject = asked.question.removeprefix(WHICH.partition("{")[0]).removesuffix(WHICH.partition("}")[2])
        fits = [subject in text for text in (left, right)]
        which.append(0.5 if fits[0] == fits[1] else float("AB"[fits.index(True)] == asked.answer))
    return {
        "which image": which,
        "difference": [
            float(named == list(pair.changes)) for named, pair in zip(replaced, held_out.replaced, strict=True)
        ],
        "says different": [float(bool(named)) for named in replaced],
        "says same": [float(not named) for named in others],
        "list": [f1(named, pair.changes) for named, pair in zip(lists, held_out.lists, strict=True)],
    }


def guessed(held_out: HeldOut, seed: int = 0) -> Items:
    """Perfect captions, and a guess of which image is which."""
    rng = random.Random(seed)

    def order(pair: Pair) -> list[Change]:
        return list(pair.changes) if rng.random() < 0.5 else [(new, old) for old, new in pair.changes]

    return {
        "which image": [float(rng.random() < 0.5) for _ in held_out.which],
        "difference": [float(order(pair) == list(pair.changes)) for pair in held_out.replaced],
        "says different": [1.0] * len(held_out.replaced),
        "says same": [1.0] * len(held_out.others),
        "list": [f1(order(pair), pair.changes) for pair in held_out.lists],
    }


def _differing(left: str, right: str) -> list[Change]:
    contents = [parse_caption(text) for text in (left, right)]
    if contents[0] is None or contents[1] is None or len(contents[0][0]) != len(contents[1][0]):
        return [] if left == right else [("?", "?")]
    both = zip(contents[0][0], contents[1][0], strict=True)
    return [(old.phrase, new.phrase) for old, new in both if old != new]


def summary(items: Items, sorts: Sequence[str] = ()) -> dict[str, float]:
    """Means, and d' of "different" said where something differs against where nothing does."""
    values = {name: sum(scores) / len(scores) for name, scores in items.items()}
    hits, rejections = items["says different"], items["says same"]
    values["d'"] = d_prime(int(sum(hits)), len(hits), int(len(rejections) - sum(rejections)), len(rejections))
    for sort in dict.fromkeys(sorts):
        of_sort = [value for value, each in zip(rejections, sorts, strict=True) if each == sort]
        values[f"says same, {sort}"] = sum(of_sort) / len(of_sort)
    return values
