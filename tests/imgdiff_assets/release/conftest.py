"""A home with a release that 0.1.0 made, as a run of today leaves it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from imgdiff_assets.engine.given_pairs import stage_of_shard
from imgdiff_assets.engine.materialize import materialize
from imgdiff_assets.engine.parents import read_inputs
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.shards import shard_keys
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.lineage.replay import shared_models
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import COMMON_STAGES as STAGES


@pytest.fixture(scope="session")
def judge_again(miniature_recipe: Recipe) -> Callable[[Home], None]:
    """`judge_again(home)`: all stages over all shards, of which everything has been measured."""

    def judge(home: Home) -> None:
        models, ledger = shared_models(miniature_recipe), Ledger(home.ledger)
        for shard in shard_keys(home):
            for stage in (stage_of_shard(stage, home, shard) for stage in STAGES):
                inputs = read_inputs(stage, home, shard)
                record = materialize(stage, shard, inputs, miniature_recipe, ledger, models, "run-2")
                assert record.measured == 0

    return judge


@pytest.fixture(scope="session")
def judged_home(
    unpack_home: Callable[[Path], Home],
    judge_again: Callable[[Home], None],
    tmp_path_factory: pytest.TempPathFactory,
) -> Home:
    """With release 1 of the very samples that it has now; tests leave it as it is."""
    home = unpack_home(tmp_path_factory.mktemp("released"))
    judge_again(home)
    return home


@pytest.fixture
def released_home(judged_home: Home, tmp_path: Path) -> Home:
    """A copy for a test that changes it."""
    return Home(Path(shutil.copytree(judged_home.root, tmp_path / "home")))
