"""Pairs that are shifted, and pairs that differ outside their regions: measured alone, rejected where told."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks.alignment import photographs, plant
from imgdiff_assets.engine.materialize import materialize
from imgdiff_assets.engine.parents import read_inputs
from imgdiff_assets.engine.record import Materialization
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.ingest_pairs import ingest_pairs
from imgdiff_assets.ingest.shards import shard_keys
from imgdiff_assets.ledger.images import PairImages
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.method.regions import BOX_COLUMNS
from imgdiff_assets.recipe.overrides import override_recipe
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import stage_named
from imgdiff_assets.stages.preservation import CLEAN
from imgdiff_assets.what_if.judgement import StoredScores

SHARD = "shard-000000"
ALIGNED, PRESERVED = "filtered_pairs.alignment={}", "bounding_boxes.preserved={}"
TIGHT = (PRESERVED, "bounding_boxes.preserved.margin=0", "bounding_boxes.max_overlap=1")
"""Both boxes of a replaced object are kept, and of the object nothing is beside them."""

ONE = (*TIGHT, "bounding_boxes.max_boxes=1")
"""One box: what of the other object reaches over it is outside."""

Rows = dict[str, dict[str, Any]]


def rows_of(home: Home, name: str, shard: str = SHARD) -> Rows:
    stage = stage_named(name)
    return {row[stage.id_column]: row for row in Ledger(home.ledger).read(name, shard).to_pylist()}


@pytest.fixture
def again(
    own_home: Home, drawn_recipe: Recipe, drawn_models: Any
) -> Callable[..., tuple[Rows, Rows, Materialization]]:
    """`again(stage, *overrides)`: rows before and after the stage was run so, and the record."""

    def run(name: str, *overrides: str) -> tuple[Rows, Rows, Materialization]:
        stage, recipe, before = stage_named(name), override_recipe(drawn_recipe, overrides), rows_of(own_home, name)
        inputs = read_inputs(stage, own_home, SHARD)
        record = materialize(stage, SHARD, inputs, recipe, Ledger(own_home.ledger), drawn_models(recipe), "run-2")
        return before, rows_of(own_home, name), record

    return run


@pytest.mark.parametrize(
    ("name", "override", "measurement"),
    [("filtered_pairs", ALIGNED, "align"), ("bounding_boxes", PRESERVED, "preserve")],
)
def test_it_alone_is_measured_and_without_it_the_table_is_what_it_was(
    again: Callable[..., Any], own_home: Home, name: str, override: str, measurement: str
) -> None:
    unnamed = (Ledger(own_home.ledger).record(name, SHARD) or {})["output_hash"]
    before, after, record = again(name, override)
    assert {step for step, rows in record.calls.items() if rows} == {measurement}
    assert {key: row["rejected_by"] for key, row in after.items()} == {
        key: row["rejected_by"] for key, row in before.items()
    }
    _, _, record = again(name)
    assert (record.output_hash, any(record.calls.values())) == (unnamed, False)


def test_what_is_shifted_is_rejected_and_what_is_replaced_is_not(
    tmp_path: Path, drawn_recipe: Recipe, run_stages: Callable[..., None]
) -> None:
    shifted = plant(photographs()[0], 0.05, -0.03, 1.0)
    put = shifted.source.copy()
    put[40:120, 60:160] = put[120:200, 200:300]
    pairs = {"moved": (shifted.source, shifted.target), "replaced": (shifted.source, put)}
    for name, images in pairs.items():
        for side, image in zip(("0", "1"), images, strict=True):
            Image.fromarray(image).save(tmp_path / f"{name}_{side}.png")
    home = Home(tmp_path / "home")
    ingest_pairs([tmp_path], home)
    (shard,) = shard_keys(home)
    recipe = override_recipe(drawn_recipe, [ALIGNED, "filtered_pairs.min_similarity=-1"])
    run_stages(home, recipe, [shard], ["prompt_pairs", "image_pairs", "filtered_pairs"])
    moved, kept = sorted(rows_of(home, "filtered_pairs", shard).values(), key=lambda row: -row["displacement"])
    assert (moved["rejected_by"], kept["rejected_by"]) == ("misaligned", None)
    assert (moved["dx"], moved["dy"], moved["zoom"]) == (
        pytest.approx(shifted.dx, abs=0.1),
        pytest.approx(shifted.dy, abs=0.1),
        pytest.approx(1, abs=1e-3),
    )
    assert (kept["dx"], kept["dy"], kept["displacement"]) == pytest.approx((0, 0, 0), abs=0.05)


def outside(row: dict[str, Any], rows: Rows, images: Any, margin: int) -> float:
    """PSNR by another way: over single pixels, of which each asks all boxes."""
    boxes = [[other[name] for name in BOX_COLUMNS] for other in rows.values() if other["kept"]]
    source, target = (image.astype(float) for image in images)
    errors = [
        ((source[y, x] - target[y, x]) ** 2).mean()
        for y in range(source.shape[0])
        for x in range(source.shape[1])
        if not any(
            a - margin < x + 1 and x < c + margin and b - margin < y + 1 and y < d + margin for a, b, c, d in boxes
        )
    ]
    return float(10 * np.log10(255**2 / np.mean(errors))) if np.mean(errors) else 100.0


@pytest.mark.parametrize("overrides", [TIGHT, ONE])
def test_what_is_outside_all_kept_regions_of_a_pair_is_compared(
    again: Callable[..., Any], own_home: Home, overrides: tuple[str, ...]
) -> None:
    _, after, _ = again("bounding_boxes", *overrides)
    measured = {key: row for key, row in after.items() if row["preserved_psnr"] is not None}
    assert measured == {key: row for key, row in after.items() if row["kept"]} != {}
    assert any(row["preserved_psnr"] < CLEAN for row in measured.values())
    with closing(PairImages(Ledger(own_home.ledger), SHARD)) as images:
        for row in measured.values():
            of_pair = {key: other for key, other in measured.items() if other["pair_id"] == row["pair_id"]}
            assert len({(other["preserved_psnr"], other["preserved_similarity"]) for other in of_pair.values()}) == 1
            expected = outside(row, of_pair, images(row["pair_id"]), 0)
            assert row["preserved_psnr"] == pytest.approx(expected, abs=1e-3)


def test_pairs_that_are_not_preserved_are_rejected_and_nothing_is_measured_for_that(again: Callable[..., Any]) -> None:
    _, measured, _ = again("bounding_boxes", *ONE)
    values = sorted({row["preserved_psnr"] for row in measured.values() if row["kept"]})
    limit = (values[0] + values[-1]) / 2
    _, after, record = again("bounding_boxes", *ONE, f"bounding_boxes.preserved.min_psnr={limit}")
    assert not any(record.calls.values())
    assert {row["rejected_by"] for row in after.values() if row["preserved_psnr"] == values[0]} == {"not_preserved"}
    assert {row["rejected_by"] for row in after.values() if row["preserved_psnr"] == values[-1]} == {None}


def test_what_if_tells_that_other_regions_leave_something_else_outside(
    again: Callable[..., Any], own_home: Home, drawn_recipe: Recipe
) -> None:
    again("bounding_boxes", *TIGHT)
    judged = StoredScores(own_home, [SHARD]).judge(override_recipe(drawn_recipe, ONE))
    boxes = next(one for one in judged if one.stored.stage.name == "bounding_boxes")
    _, after, record = again("bounding_boxes", *ONE)
    assert boxes.to_measure == {"preserve": record.calls["preserve"]} != {"preserve": 0}
    assert boxes.undecided == sum(row["kept"] for row in after.values())
