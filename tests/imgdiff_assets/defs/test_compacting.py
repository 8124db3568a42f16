"""Room is given back, homes of before are converted, and nothing that is needed is lost by it."""

import datetime
import multiprocessing
import os
import shutil
import signal
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from imgdiff_assets.cli.main import main
from imgdiff_assets.common.aliases import Row
from imgdiff_assets.defs.compacting import compact_home, migrate_home
from imgdiff_assets.engine.parents import MissingInput
from imgdiff_assets.engine.staleness import Staleness
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.home_format import FORMAT, NewerHome, check_format
from imgdiff_assets.ledger.images import ImagesDropped, PairImages
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.store.local import LocalStore
from imgdiff_assets.ledger.tables import has_images
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.recipe.overrides import override_recipe
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import STAGE_NAMES, stage_named
from tests.imgdiff_assets.conftest import RunStages

SHARD, OTHER = "shard-000000", "shard-000001"
WITH_IMAGES = ("image_pairs", "removed_pairs")


@pytest.fixture(autouse=True)
def no_instance_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)


def images_of(home: Home) -> dict[tuple[str, str], list[Row]]:
    ledger = Ledger(home.ledger)
    return {
        (asset, shard): ledger.read(asset, shard, images=True).to_pylist()
        for asset in WITH_IMAGES
        for shard in ledger.shards(asset)
    }


def parts_of(home: Home) -> dict[str, int]:
    return {str(path.relative_to(home.root)): path.stat().st_size for path in home.root.glob("parts/*/*/*")}


def age(home: Home, hours: float) -> None:
    """Have all parts be so old."""
    for path in home.root.glob("parts/*/*/*"):
        moment = path.stat().st_mtime - hours * 3600
        os.utime(path, (moment, moment))


def test_a_home_of_before_is_read_as_it_is_and_migrated_at_once(home_of_0_1_0: Home) -> None:
    ledger, before = Ledger(home_of_0_1_0.ledger), images_of(home_of_0_1_0)
    records = {key: ledger.record(*key) for key in before}
    assert check_format(home_of_0_1_0.ledger) == 1
    assert all(has_images(ledger.table_path(*key)) for key in before)
    assert migrate_home(home_of_0_1_0).tables == len(before) > 1
    assert not any(has_images(ledger.table_path(*key)) for key in before)
    assert images_of(home_of_0_1_0) == before
    assert {key: ledger.record(*key) for key in before} == records
    assert migrate_home(home_of_0_1_0).tables == 0
    assert compact_home(home_of_0_1_0, load_recipe("miniature"), 0, dry=False).room.files == 0


def _migrate_until(root: str, write: int) -> None:
    """Die in the middle of a write, or right after it."""
    writing, done = LocalStore.writing, 0

    @contextmanager
    def dying(self: LocalStore, *arguments: Any, **options: Any) -> Any:
        nonlocal done
        with writing(self, *arguments, **options) as temporary:
            yield temporary
            if (done := done + 1) == write:
                os.kill(os.getpid(), signal.SIGKILL)

    LocalStore.writing = dying  # type: ignore[method-assign]
    migrate_home(Home(Path(root)))


@pytest.mark.parametrize("write", [1, 4, *(pytest.param(write, marks=pytest.mark.slow) for write in (2, 6))])
def test_a_migration_that_is_killed_goes_on(home_of_0_1_0: Home, write: int) -> None:
    before = images_of(home_of_0_1_0)
    process = multiprocessing.get_context("spawn").Process(
        target=_migrate_until, args=(str(home_of_0_1_0.root), write)
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert images_of(home_of_0_1_0) == before
    migrate_home(home_of_0_1_0)
    assert images_of(home_of_0_1_0) == before
    assert not any(has_images(Ledger(home_of_0_1_0.ledger).table_path(*key)) for key in before)


def test_a_home_of_a_later_release_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path / "home")
    home.create()
    (home.root / "format.json").write_text(f'{{"format": {FORMAT + 1}}}')
    with pytest.raises(NewerHome, match=r"home was written by a later release .* install that release"):
        Ledger(home.ledger)
    monkeypatch.setenv("IMGDIFF_HOME", str(home.root))
    for command in (["ledger", "verify"], ["ledger", "migrate"], ["catalog", "rebuild"]):
        result = CliRunner().invoke(main, command)
        assert result.exit_code == 1
        assert "later release" in result.output


def test_only_parts_that_nothing_names_go_and_only_after_a_time(own_home: Home, drawn_recipe: Recipe) -> None:
    ledger, before, there = Ledger(own_home.ledger), images_of(own_home), parts_of(own_home)
    schema = stage_named("image_pairs").schema
    cell = {"bytes": b"of a batch that a kill left", "path": "x.png"}
    ledger.stage_batch("image_pairs", OTHER, "generate", [{"source_image": cell}], schema)
    staged = parts_of(own_home)
    put = ledger.parts("image_pairs", SHARD).put([{"hash": "1", "image": cell}])
    assert compact_home(own_home, drawn_recipe, 24, dry=False).room.files == 0, "somebody may still read it"
    age(own_home, 25)
    told = compact_home(own_home, drawn_recipe, 24, dry=True)
    assert (told.room.files, told.passed_over) == (1, {})
    assert compact_home(own_home, drawn_recipe, 24, dry=False).room == told.room
    assert parts_of(own_home) == staged
    assert len(staged) == len(there) + 1
    assert not any(put in name for name in staged)
    assert images_of(own_home) == before


def test_a_shard_that_a_run_holds_is_passed_over(own_home: Home, drawn_recipe: Recipe) -> None:
    ledger = Ledger(own_home.ledger)
    ledger.parts("image_pairs", SHARD).put([{"hash": "1", "image": {"bytes": b"of a run", "path": "x.png"}}])
    with ledger.lock("captions", SHARD, "run abc"):
        result = compact_home(own_home, drawn_recipe, 0, dry=False)
    assert result.room.files == 0
    assert list(result.passed_over) == [SHARD]
    assert "run abc" in result.passed_over[SHARD]


def retaining(recipe: Recipe) -> Recipe:
    return override_recipe(recipe, ["retention.rejected_images=30d"])


@pytest.fixture
def old_home(own_home: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Whose images are of long ago."""
    real = datetime.datetime

    class Later(real):  # type: ignore[misc, valid-type]
        @classmethod
        def now(cls, zone: Any = None) -> Any:
            return real.now(zone) + datetime.timedelta(days=31)

    monkeypatch.setattr("imgdiff_assets.defs.compacting.datetime.datetime", Later)
    # An artist drew and judged it, which is no model of the recipe.
    monkeypatch.setattr(Staleness, "unusable", lambda self, shard: [])
    return own_home


def dropped(home: Home) -> set[str]:
    """The pairs that had images."""
    rows = Ledger(home.ledger).read("image_pairs", SHARD, images=True).to_pylist()
    return {row["pair_id"] for row in rows if row["source_image"] is None and row["source_hash"] is not None}


def test_images_of_rejected_rows_are_dropped_and_nothing_else(
    old_home: Home, drawn_recipe: Recipe, run_stages: RunStages
) -> None:
    ledger = Ledger(old_home.ledger)
    samples = ledger.read("fine_tune_set", SHARD).to_pylist()
    kept = {row["pair_id"] for row in samples if row["kept"]}
    before = {
        (name, shard): ledger.read(name, shard)
        for name in STAGE_NAMES
        for shard in (SHARD, OTHER)
        if ledger.exists(name, shard)
    }
    records = {key: ledger.record(*key) for key in before}
    assert compact_home(old_home, drawn_recipe, 0, dry=False).room.images == 0, "it is off unless a recipe says so"
    assert (
        compact_home(
            old_home, override_recipe(retaining(drawn_recipe), ["retention.rejected_images=40d"]), 0, dry=False
        ).room.images
        == 0
    )
    size = sum(parts_of(old_home).values())
    result = compact_home(old_home, retaining(drawn_recipe), 0, dry=False)
    assert result.passed_over == {}
    drawn = {row["pair_id"] for row in ledger.read("image_pairs", SHARD).to_pylist() if row["source_hash"]}
    assert dropped(old_home) == drawn - kept
    assert dropped(old_home)
    assert result.room.images >= 2 * len(dropped(old_home))
    assert sum(parts_of(old_home).values()) < size
    after = {key: ledger.read(*key) for key in before}
    assert after == before, "scores, verdicts and lineage stay"
    assert {key: ledger.record(*key) for key in before} == records
    images = PairImages(ledger, SHARD)
    for pair in drawn:
        if pair in dropped(old_home):
            with pytest.raises(ImagesDropped, match=f"`imgdiff replay {pair}` makes it again"):
                images(pair)
        else:
            images(pair)
    images.close()
    assert compact_home(old_home, retaining(drawn_recipe), 0, dry=False).room.images == 0


def test_dropped_images_are_made_again_when_they_are_wanted(
    old_home: Home, drawn_recipe: Recipe, run_stages: RunStages, tmp_path: Path
) -> None:
    """Of the rows that a changed threshold lets in, and of no others."""
    looser = override_recipe(drawn_recipe, ["filtered_pairs.min_similarity=0.0", "filtered_pairs.max_similarity=1.0"])
    unbroken = Home(tmp_path / "unbroken")
    shutil.copytree(old_home.root, unbroken.root)
    run_stages(unbroken, looser, [SHARD])
    assert compact_home(old_home, retaining(drawn_recipe), 0, dry=False).passed_over == {}
    gone, ledger = dropped(old_home), Ledger(old_home.ledger)
    assert gone
    with pytest.raises(MissingInput, match=r"wants images again that were dropped"):
        run_stages(old_home, looser, [SHARD])
    run_stages(old_home, looser, [SHARD])
    filtered = ledger.read("filtered_pairs", SHARD).to_pylist()
    wanted = {row["pair_id"] for row in filtered if row["kept"]}
    assert gone & wanted
    assert dropped(old_home) == gone - wanted
    assert (ledger.record("image_pairs", SHARD) or {})["measured"] == len(gone & wanted)
