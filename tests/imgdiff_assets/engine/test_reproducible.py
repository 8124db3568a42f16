"""Rows are functions of their inputs, whatever the batches, order and shards, and however often a run was stopped.

With the real models of the miniature. An image is the same bit for bit when its batch has as many rows. In batches of
other sizes matrix products round otherwise: a few of an image's values differ by 1 of 255, and what is measured of it
by at most TOLERANCE.
"""

import base64
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from imgdiff_assets.engine.record import BOOKKEEPING
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.images import decode
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import COMMON_STAGES as STAGES
from imgdiff_assets.stages.stage import Stage

TOLERANCE = 1e-3
LARGEST_SHARE = 1e-3
"""Of an image's values, those that may differ by 1."""
EXACT_SCORES = ("agreement", "edit_count", "rank")
"""Counted, not computed by a model: they may lie on their thresholds."""
OF_A_SHARD = ("validation_similarity", "validation_bits")
"""Columns that compare the samples of one shard with each other."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way of coming to the same ledger; `stops` are the numbers of batches after which a run is stopped."""

    batch_size: int
    shuffled: int | None = None
    shard_size: int = 6
    stops: tuple[int, ...] = ()


def slowly(*ways: Way) -> list[Any]:
    return [pytest.param(way, marks=pytest.mark.slow) for way in ways]


@pytest.fixture(scope="session")
def come_to(measured: Any, measured_home: Home, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Way], Home]:
    """A ledger of the same captions as `measured_home`, made in another way."""
    ledger = Ledger(measured_home.ledger)
    captions = ledger.read("prompt_pairs", "shard-000000")["source_caption"].to_pylist()

    def make(way: Way) -> Home:
        texts = list(captions)
        if way.shuffled is not None:
            random.Random(way.shuffled).shuffle(texts)
        home = measured.ingest(tmp_path_factory.mktemp("way"), texts, way.shard_size)
        recipe = measured.recipe(*(f"{role}.batch_size={way.batch_size}" for role in load_recipe("miniature").roles))
        for batches in way.stops:
            _run_until(measured, home, recipe, batches)
        measured.run(home, recipe)
        return home

    return make


def _run_until(measured: Any, home: Home, recipe: Recipe, batches: int) -> None:
    """Stop a run after so many batches."""

    def stop(what: str, done: int, total: int) -> None:
        nonlocal batches
        batches -= done > 0
        if batches == 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measured.run(home, recipe, run_id="stopped", progress=stop)


def rows_of(home: Home, stage: Stage) -> dict[str, dict[str, Any]]:
    """All rows of all shards by id, with their images, but for the columns that say by whom a row was measured."""
    ledger = Ledger(home.ledger)
    tables = [ledger.read(stage.name, shard, images=True) for shard in ledger.shards(stage.name)]
    forgotten = {*BOOKKEEPING, *OF_A_SHARD}
    return {
        row[stage.id_column]: {name: value for name, value in row.items() if name not in forgotten}
        for table in tables
        for row in table.to_pylist()
    }


@pytest.mark.parametrize(
    "way",
    [
        Way(3, shuffled=1, shard_size=3, stops=(1, 4)),
        *slowly(Way(3, shuffled=1, shard_size=3), Way(3, stops=(1, 4)), Way(3, shuffled=2, stops=(9,))),
    ],
    ids=repr,
)
def test_batches_of_one_size_give_the_same_images_bit_for_bit(
    come_to: Callable[[Way], Home], measured: Any, measured_home: Home, way: Way
) -> None:
    other = come_to(way)
    for stage in STAGES[:2]:
        assert rows_of(other, stage) == rows_of(measured_home, stage)
    compare(measured_home, other, measured.recipe())


@pytest.mark.parametrize(
    "way",
    slowly(Way(2, shuffled=4, shard_size=5, stops=(7,)), Way(1, shuffled=3, shard_size=1), Way(8)),
    ids=repr,
)
def test_batches_of_other_sizes_give_the_same_rows_but_for_rounding(
    come_to: Callable[[Way], Home], measured: Any, measured_home: Home, way: Way
) -> None:
    compare(measured_home, come_to(way), measured.recipe())


def compare(one: Home, other: Home, recipe: Recipe) -> None:
    """The same ids, seeds, texts and boxes; images and scores within the tolerance, and so the same verdicts."""
    for stage in STAGES:
        rows, others = rows_of(one, stage), rows_of(other, stage)
        assert rows
        assert rows.keys() == others.keys()
        for identity, row in rows.items():
            assert not on_the_edge(stage, recipe, row), "choose captions whose scores are not at a threshold"
            for name, value in row.items():
                assert_alike(name, value, others[identity][name])


def assert_alike(name: str, value: Any, other: Any) -> None:
    if name.endswith("_image") and value is not None:
        apart = np.abs(decode(value["bytes"]).astype(int) - decode(other["bytes"]).astype(int))
        assert apart.max() <= 1
        assert np.mean(apart > 0) <= LARGEST_SHARE
    elif isinstance(value, float):
        assert other == pytest.approx(value, abs=TOLERANCE), name
    elif name.endswith("_vector"):
        halves = [np.frombuffer(base64.b64decode(text), "<f2") for text in (value, other)]
        np.testing.assert_allclose(*halves, atol=TOLERANCE)
    elif not name.endswith(("_hash", "_fingerprint")):
        assert other == value, name


def on_the_edge(stage: Stage, recipe: Recipe, row: dict[str, Any]) -> bool:
    """Whether a score is so near to its threshold that rounding may decide."""
    return any(
        row.get(step.score) is not None
        and abs(row[step.score] - getattr(stage.settings(recipe), step.threshold)) <= TOLERANCE
        for step in stage.filters
        if step.score and step.threshold and step.score not in EXACT_SCORES
    )
