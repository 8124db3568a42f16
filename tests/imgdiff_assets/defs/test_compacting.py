"""Room is given back, homes of before are converted, and nothing that is needed is lost by it."""

import multiprocessing
import os
import signal
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from imgdiff_assets.cli.main import main
from imgdiff_assets.common.aliases import Row
from imgdiff_assets.defs.compacting import compact_home, migrate_home
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.home_format import FORMAT, NewerHome, check_format
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.store.local import LocalStore
from imgdiff_assets.ledger.tables import has_images
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import stage_named

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


@pytest.mark.parametrize("write", [1, 2, 4, 6])
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
    for command in (["stats"], ["ledger", "verify"], ["ledger", "migrate"], ["catalog", "rebuild"]):
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
