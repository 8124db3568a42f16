"""`imgdiff run --dry-run`: what it tells is what a run then does, and it does nothing itself."""

import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner

from imgdiff_assets.cli.main import main
from imgdiff_assets.cli.run_graph import run_graph
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.shards import shard_keys
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.recipe.overrides import override_recipe
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import COMMON_NAMES as STAGE_NAMES
from imgdiff_assets.what_if.dry_run import PlannedStage, plan, plan_text
from resources.loading import weights

SHARD = "shard-000000"
MAY_CHANGE = "a table that it is made of may change"


@pytest.fixture
def own_home(miniature_home: Home, tmp_path: Path) -> Home:
    return Home(Path(shutil.copytree(miniature_home.root, tmp_path / "home")))


def planned(home: Home, recipe: Recipe, *overrides: str) -> dict[str, PlannedStage]:
    plans = plan(home, override_recipe(recipe, overrides), shard_keys(home))
    assert [made.stage for made in plans] == list(STAGE_NAMES)
    return {made.stage: made for made in plans}


def test_what_is_up_to_date_has_no_reasons(miniature_home: Home, miniature_recipe: Recipe) -> None:
    plans = planned(miniature_home, miniature_recipe)
    assert all((made.stale, made.reasons, made.again) == (0, {}, {}) for made in plans.values())
    assert plan_text([plans["captions"]]) == "captions          up to date"


def test_what_is_not_there_and_what_is_damaged(own_home: Home, miniature_recipe: Recipe) -> None:
    ledger = Ledger(own_home.ledger)
    ledger.table_path("image_pairs", SHARD).write_bytes(b"torn")
    ledger.table_path("captions", SHARD).unlink()
    plans = planned(own_home, miniature_recipe)
    assert plans["prompt_pairs"].stale == 0
    assert plans["image_pairs"].reasons == {"damaged": 1}
    assert plans["captions"].reasons == {"not made yet": 1}
    assert plans["filtered_pairs"].reasons == {MAY_CHANGE: 1}


def test_a_threshold_measures_nothing(miniature_home: Home, miniature_recipe: Recipe) -> None:
    plans = planned(miniature_home, miniature_recipe, "filtered_pairs.min_similarity=0.5")
    before = miniature_recipe.filtered_pairs.min_similarity
    assert plans["filtered_pairs"].reasons == {f"filtered_pairs.min_similarity: {before} → 0.5": 1}
    assert [made.stage for made in plans.values() if made.stale] == [
        name for name in STAGE_NAMES if name not in ("prompt_pairs", "image_pairs")
    ]
    assert not any(made.again for made in plans.values())


def test_it_measures_what_the_run_then_measures(own_home: Home, miniature_recipe: Recipe) -> None:
    override = "captioner.max_new_tokens=20"
    plans = planned(own_home, miniature_recipe, override)
    stale = [name for name, made in plans.items() if made.stale]
    assert stale == ["captions", "removal_captions", "fine_tune_set"]
    changed = f"captioner.max_new_tokens: {miniature_recipe.models.captioner.max_new_tokens} → 20"
    assert changed in plans["captions"].reasons
    assert plans["fine_tune_set"].reasons == {MAY_CHANGE: 1}
    report = run_graph(own_home, override_recipe(miniature_recipe, [override]))
    done = {record["asset"]: record["calls"] for record in report.materializations}
    assert plans["captions"].again["describe"] == done["captions"]["describe"] > 0
    assert plans["removal_captions"].again == {"describe": done["removal_captions"]["describe"]}
    assert plans["captions"].again.keys() == {"describe", "tell_apart"}


def test_other_weights_are_named(
    miniature_home: Home, miniature_recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = weights.digest
    monkeypatch.setattr(
        weights, "digest", lambda path, dtype: "other" if path.name == "segmenter" else digest(path, dtype)
    )
    plans = planned(miniature_home, miniature_recipe)
    assert "segmenter: other weights" in plans["bounding_boxes"].reasons
    assert "propose" in plans["bounding_boxes"].again
    assert plans["captions"].reasons == {MAY_CHANGE: 1}


def test_failed_rows_are_named(drawn_home: Home, drawn_recipe: Recipe) -> None:
    reasons = planned(drawn_home, drawn_recipe)["image_pairs"].reasons
    assert reasons["rows failed, and are tried again"] == 1  # of the two shards that were run


def test_a_stopped_run_is_named(own_home: Home, miniature_recipe: Recipe) -> None:
    Ledger(own_home.ledger).stage_batch("captions", SHARD, "caption", [], pa.schema([("id", pa.string())]))
    assert planned(own_home, miniature_recipe)["captions"].reasons == {"a run was stopped in the middle": 1}


def test_the_command_changes_nothing(own_home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMGDIFF_HOME", str(own_home.root))
    monkeypatch.delenv("IMGDIFF_RECIPE", raising=False)

    def state() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in own_home.root.rglob("*")}

    before = state()
    result = CliRunner().invoke(main, ["run", "--dry-run", "--set", "captioner.max_new_tokens=20"])
    assert result.exit_code == 0
    assert "captions          1 of 1 shard to be made" in result.output
    assert "measured again: describe" in result.output
    assert "Nothing was run." in result.output
    assert state() == before
    unknown = CliRunner().invoke(main, ["run", "--dry-run", "--select", "captoins"])
    assert unknown.exit_code == 1
    assert "'captoins' is not an asset" in unknown.output
