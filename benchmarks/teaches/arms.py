"""What a model is taught with, arm by arm; beside that all arms are alike."""

import random
from collections.abc import Callable, Mapping
from dataclasses import replace

from benchmarks.teaches.model import Asked

Samples = list[tuple[str, str, Asked]]
"""Each after the names of its task and of its kind."""

Sets = Callable[[str], Samples]
"""The samples of a set of `made_set.HOMES`, by its name."""

Arm = Callable[[Sets, random.Random], list[Asked]]


def control(sets: Sets, rng: random.Random) -> list[Asked]:
    """nothing more: single-image samples again"""
    return []


def ours(sets: Sets, rng: random.Random) -> list[Asked]:
    """our set, as the recipe keeps it"""
    return [asked for *_, asked in sets("kept")]


def shuffled(sets: Sets, rng: random.Random) -> list[Asked]:
    """our set, the answers of each task shuffled among its samples"""
    return _swapped(sets("kept"), rng, 1.0)


def unfiltered(sets: Sets, rng: random.Random) -> list[Asked]:
    """all candidates, before any filter"""
    return [asked for *_, asked in sets("all")]


def corrupted_10(sets: Sets, rng: random.Random) -> list[Asked]:
    """our set, one answer in ten that of another sample"""
    return _swapped(sets("kept"), rng, 0.1)


def corrupted_30(sets: Sets, rng: random.Random) -> list[Asked]:
    """our set, three answers in ten those of other samples"""
    return _swapped(sets("kept"), rng, 0.3)


def removal(sets: Sets, rng: random.Random) -> list[Asked]:
    """our set with regions that were erased"""
    return [asked for *_, asked in sets("removal")]


def loose(sets: Sets, rng: random.Random) -> list[Asked]:
    """our set by lower thresholds: a match of 0 is enough, of regions and of captions"""
    return [asked for *_, asked in sets("loose")]


def strict(sets: Sets, rng: random.Random) -> list[Asked]:
    """our set by higher thresholds: a match of 0.6 of regions, 0.85 of captions"""
    return [asked for *_, asked in sets("strict")]


def no_nuisance(sets: Sets, rng: random.Random) -> list[Asked]:
    """our set without the pairs in which nothing but light, place or compression was changed"""
    return [asked for _, kind, asked in sets("kept") if kind != "nuisance"]


ARMS: Mapping[str, Arm] = {
    arm.__name__: arm
    for arm in (ours, control, shuffled, unfiltered, corrupted_30, no_nuisance, loose, strict, removal, corrupted_10)
}
"""In the order in which they are trained, seed by seed."""

FIRST = ("ours", "control", "shuffled", "unfiltered")
"""Those that are trained with all seeds before the others begin."""


def _swapped(samples: Samples, rng: random.Random, share: float) -> list[Asked]:
    """The samples, a share of each task's with the answers of others of them, in turn."""
    found = [asked for *_, asked in samples]
    by_task: dict[str, list[int]] = {}
    for number, (task, *_) in enumerate(samples):
        by_task.setdefault(task, []).append(number)
    for numbers in by_task.values():
        chosen = rng.sample(numbers, round(share * len(numbers)))
        for number, other in zip(chosen, [*chosen[1:], *chosen[:1]], strict=True):
            found[number] = replace(found[number], answer=samples[other][2].answer)
    return found
