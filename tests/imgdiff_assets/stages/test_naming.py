"""Captions that do not name what the prompt pair says that differs, or not all of it, and those that do."""

import numpy as np
import pytest

from imgdiff_assets.common.aliases import Row
from imgdiff_assets.method.language import language_named
from imgdiff_assets.stages.captions import CaptionsSettings
from imgdiff_assets.stages.naming import NAMES, STEPS, naming

ENGLISH = language_named("english")


def row(asked: str | None, told: tuple[str | None, str | None]) -> Row:
    return {"asked_kind": asked, "source_phrase": told[0], "target_phrase": told[1]}


@pytest.mark.parametrize(
    ("asked", "change", "told", "share"),
    [
        (None, ("dog", "cat"), ("a brown dog", "two cats"), 1.0),
        (None, ("dog", "cat"), ("a brown dog", "a bird"), 0.0),
        (None, ("ball", "cup"), ("a red ball", "a red ball"), 0.0),
        ("attribute_changed", ("red bike", "blue bike"), ("a red bike", "a blue bike"), 1.0),
        ("attribute_changed", ("red bike", "blue bike"), ("a bike", "a blue bike"), 0.5),
        ("attribute_changed", ("red bike", "blue bike"), ("a red bike", "a red bike"), 0.0),
        ("object_added", (None, "cup"), (None, "a red cup"), 1.0),
        ("object_added", (None, "cup"), ("a red cat", "a red cup"), 0.0),
        ("object_removed", ("cup", None), ("a red cup", None), 1.0),
        ("object_removed", ("cup", None), (None, "a red cup"), 0.0),
        ("background_changed", ("grass", "sand"), ("the grass", "the sand"), 1.0),
        ("background_changed", ("grass", "sand"), ("the grass", "the grass"), 0.0),
    ],
)
def test_the_weaker_side_counts(
    asked: str | None, change: tuple[str | None, str | None], told: tuple[str | None, str | None], share: float
) -> None:
    assert naming(row(asked, told), change, ENGLISH) == share


def test_a_pair_that_lists_two_differences_needs_a_region_for_each() -> None:
    settings = CaptionsSettings(naming={})
    untold = next(step for step in STEPS if getattr(getattr(step, "column", None), "name", "") == "untold")
    named = {"source_object": "dog, cup", "target_object": "cat, vase", "asked_kind": "several"}
    rows = [
        {"pair_id": pair, **named, "source_phrase": source, "target_phrase": target}
        for pair, source, target in (
            ("both", "a dog", "a cat"),
            ("both", "a cup", "a vase"),
            ("one", "a dog", "a cat"),
            ("twice", "a cup", "a vase"),
            ("twice", "the cup", "the vase"),
        )
    ]
    columns = {name: np.array([each[name] for each in rows], dtype=object) for name in ("pair_id", *NAMES)}
    assert untold.compute(columns, untold.own(settings)).tolist() == [0, 0, 1, 1, 1]
