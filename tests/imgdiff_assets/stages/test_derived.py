"""Pairs that are derived from pairs: nothing is drawn for them, and they go through all stages as others do."""

import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks.alignment import photographs, plant
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.ingest_captions import ingest
from imgdiff_assets.ingest.ingest_pairs import ingest_pairs
from imgdiff_assets.ingest.shards import shard_keys
from imgdiff_assets.ledger.images import PairImages, pixel_hash
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.lineage.lineage import lineage
from imgdiff_assets.lineage.lineage_text import to_text
from imgdiff_assets.lineage.replay import replay
from imgdiff_assets.method.near_duplicates import SIGNATURE_COLUMNS
from imgdiff_assets.reading.samples import SampleImages, read_samples
from imgdiff_assets.recipe.mistakes import RecipeError
from imgdiff_assets.recipe.overrides import override_recipe
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.canaries import mistakes
from imgdiff_assets.stages.graph import stage_named
from imgdiff_assets.statistics.sample_checks import violations
from imgdiff_assets.statistics.table_checks import INVARIANTS

SHARD = "shard-000000"
DERIVED = (
    "prompt_pairs.attempts=3",
    "image_pairs.seed_by=caption",
    "derived_pairs={}",
    "derived_pairs.inverse=true",
    "derived_pairs.siblings=true",
    "derived_pairs.nuisance=1",
    "fine_tune_set.tasks=[difference, which_image, same_or_different]",
    "bounding_boxes.max_region_similarity=1",
    "captions.min_match=0",
    "bounding_boxes.min_match=0",
    "fine_tune_set.min_match_margin=-2",
)
REGISTERED = ("derived_pairs={}", "derived_pairs.registered=true", "filtered_pairs.alignment={}")
CAPTIONS = ("a red ball on the grass", "a blue boat and a green tree on the sand", "a yellow house on the snow")

Rows = dict[str, dict[str, Any]]


def rows_of(home: Home, name: str, shard: str = SHARD) -> Rows:
    return {row[stage_named(name).id_column]: row for row in Ledger(home.ledger).read(name, shard).to_pylist()}


@pytest.fixture(scope="module")
def derived_recipe(drawn_recipe: Recipe) -> Recipe:
    return override_recipe(drawn_recipe, DERIVED)


@pytest.fixture(scope="module")
def derived_home(
    tmp_path_factory: pytest.TempPathFactory, derived_recipe: Recipe, run_stages: Callable[..., None]
) -> Home:
    """A home in which all is derived that can be: tests leave it as it is."""
    root = tmp_path_factory.mktemp("derived")
    (root / "captions.txt").write_text("\n".join(CAPTIONS) + "\n", encoding="utf-8")
    home = Home(root / "home")
    ingest([root / "captions.txt"], home)
    run_stages(home, derived_recipe, [SHARD])
    return home


def test_what_is_derived_has_the_pictures_and_the_words_of_what_it_is_made_of(derived_home: Home) -> None:
    drawn, derived = rows_of(derived_home, "image_pairs"), rows_of(derived_home, "derived_pairs")
    prompts = rows_of(derived_home, "prompt_pairs")
    kinds = {row["derivation"] for row in derived.values()}
    assert {"inverse", "siblings"} < kinds
    for row in derived.values():
        one, another = drawn[row["derived_from"]], drawn[row["derived_with"] or row["derived_from"]]
        if row["derivation"] == "inverse":
            assert (row["source_hash"], row["target_hash"]) == (one["target_hash"], one["source_hash"])
            assert row["source_object"] == prompts[one["pair_id"]]["target_object"]
        elif row["derivation"] == "siblings":
            assert (row["source_hash"], row["target_hash"]) == (one["target_hash"], another["target_hash"])
            assert one["source_hash"] == another["source_hash"]
            assert row["target_caption"] == another["target_caption"] != row["source_caption"]
        else:
            assert row["source_hash"] != row["target_hash"]
            assert row["source_caption"] == row["target_caption"]


def test_derived_pairs_yield_samples_that_tell_what_they_show(derived_home: Home) -> None:
    ledger, derived = Ledger(derived_home.ledger), rows_of(derived_home, "derived_pairs")
    samples = read_samples(ledger, SHARD)
    made = {derived[sample.pair_id]["derivation"] for sample in samples if sample.pair_id in derived}
    assert {"inverse", "siblings"} < made
    with closing(SampleImages(ledger, SHARD)) as images:
        for sample in samples:
            shown = [pixel_hash(images(image)) for image in sample.shown.images]
            assert shown in ([sample.source_hash, sample.target_hash], [sample.target_hash, sample.source_hash])
    assert violations(ledger, SHARD) == []
    stages = [stage_named(name) for name in ("derived_pairs", "filtered_pairs", "bounding_boxes", "fine_tune_set")]
    for stage in stages:
        for invariant in INVARIANTS:
            if invariant.concerns(stage):
                assert list(invariant.violations(stage, ledger, [SHARD])) == [], (stage.name, invariant.name)


def test_one_picture_with_other_pixels_is_the_same(derived_home: Home) -> None:
    derived = rows_of(derived_home, "derived_pairs")
    nuisance = {key for key, row in derived.items() if row["derivation"] not in ("inverse", "siblings")}
    of_nuisance = [row for row in rows_of(derived_home, "fine_tune_set").values() if row["nuisance"]]
    assert {row["pair_id"] for row in of_nuisance} == nuisance != set()
    assert all((row["task"], row["kept"]) == ("same_or_different", True) for row in of_nuisance)
    kinds = {sample.kind for sample in read_samples(Ledger(derived_home.ledger), SHARD) if sample.pair_id in nuisance}
    assert kinds == {"nuisance"}
    assert not nuisance & rows_of(derived_home, "filtered_pairs").keys()


def test_lineage_and_replay_go_through_the_pair_it_is_made_of(
    derived_home: Home, derived_recipe: Recipe, drawn_models: Any
) -> None:
    derived = rows_of(derived_home, "derived_pairs")
    models = drawn_models(derived_recipe)
    for derivation in ("inverse", "siblings"):
        sample = next(
            row
            for row in rows_of(derived_home, "fine_tune_set").values()
            if row["kept"] and derived.get(row["pair_id"], {}).get("derivation") == derivation
        )
        told = to_text(lineage(derived_home, derived_recipe, sample["sample_id"]))
        assert f"{derivation}: of {derived[sample['pair_id']]['derived_from']}" in told
        again = replay(derived_home, derived_recipe, sample["sample_id"], lambda recipe: models)
        stages = [step.stage for step in again.steps]
        assert stages.count("image_pairs") == (2 if derivation == "siblings" else 1)
        assert "derived_pairs" in stages
        assert again.verdict == 0, again.to_json()
    pair = next(row for row in derived.values() if row["derivation"] == "inverse")
    tree = lineage(derived_home, derived_recipe, pair["derived_from"])
    below = to_text(tree)
    assert pair["pair_id"] in below


def test_off_it_is_in_no_table_and_what_was_drawn_stays(
    derived_home: Home, derived_recipe: Recipe, run_stages: Callable[..., None], tmp_path: Path
) -> None:
    home = Home(tmp_path / "home")
    shutil.copytree(derived_home.root, home.root)
    drawn = rows_of(home, "image_pairs")
    off = override_recipe(derived_recipe, ["derived_pairs=null", "image_pairs.seed_by=pair"])
    run_stages(home, off, [SHARD], run_id="run-2")
    assert {key: row["seed"] for key, row in rows_of(home, "image_pairs").items()} == {
        key: row["seed"] for key, row in drawn.items()
    }
    names = Ledger(home.ledger).column_names("filtered_pairs", SHARD)
    assert "derived_from" not in names
    assert set(SIGNATURE_COLUMNS) < set(names)
    assert rows_of(home, "filtered_pairs").keys() == drawn.keys()
    dumped = off.model_dump(mode="json")
    assert "derived_pairs" not in dumped
    assert "seed_by" not in dumped["image_pairs"]


def test_a_shifted_photograph_is_cut_to_what_both_show(
    tmp_path: Path, drawn_recipe: Recipe, run_stages: Callable[..., None]
) -> None:
    planted = plant(photographs()[0], 0.05, -0.03, 1.02)
    changed = planted.target.copy()
    changed[100:160, 200:280] = 255 - changed[100:160, 200:280]
    still = planted.source.copy()
    still[40:120, 60:160] = 255 - still[40:120, 60:160]
    for name, target in (("moved", changed), ("still", still)):
        Image.fromarray(planted.source).save(tmp_path / f"{name}_0.png")
        Image.fromarray(target).save(tmp_path / f"{name}_1.png")
    home = Home(tmp_path / "home")
    ingest_pairs([tmp_path], home)
    (shard,) = shard_keys(home)
    recipe = override_recipe(drawn_recipe, [*REGISTERED, "filtered_pairs.min_similarity=-1"])
    run_stages(home, recipe, [shard], ["prompt_pairs", "image_pairs", "derived_pairs", "filtered_pairs"])
    verdicts = sorted(row["rejected_by"] or "" for row in rows_of(home, "derived_pairs", shard).values())
    assert verdicts == ["", "aligned"]
    (row,) = [row for row in rows_of(home, "derived_pairs", shard).values() if row["kept"]]
    judged = rows_of(home, "filtered_pairs", shard)
    assert (judged[row["derived_from"]]["rejected_by"], judged[row["pair_id"]]["rejected_by"]) == ("misaligned", None)
    assert judged[row["pair_id"]]["displacement"] < 0.002
    with closing(PairImages(Ledger(home.ledger), shard)) as images:
        source, target = images(row["pair_id"])
    assert source.shape == target.shape == (row["height"], row["width"], 3)
    assert source.shape[0] > 0.9 * planted.source.shape[0]
    differs = np.abs(source.astype(int) - target).max(axis=2) > 60
    top, left = np.argwhere(differs).min(axis=0)
    # Where it is in the target, seen in the source, less what was cut off above and on the left.
    assert differs.mean() < 0.1
    assert (top, left) > (60, 120)


def test_a_pair_is_kept_as_it_was_or_registered(drawn_recipe: Recipe) -> None:
    with pytest.raises(RecipeError, match=r"needs `filtered_pairs\.alignment"):
        override_recipe(drawn_recipe, REGISTERED[:2])
    with pytest.raises(RecipeError, match="kept as it was, or registered"):
        override_recipe(drawn_recipe, [*REGISTERED, "derived_pairs.min_displacement=0.1"])
    recipe = override_recipe(drawn_recipe, REGISTERED)
    assert mistakes(stage_named("derived_pairs"), recipe.section("derived_pairs")) == []
