"""A stage whose model is behind a server, which goes away in the middle."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from imgdiff_assets.engine.materialize import materialize
from imgdiff_assets.engine.parents import read_inputs
from imgdiff_assets.engine.record import Materialization
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.ingest_captions import ingest
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.lineage.replay import shared_models
from imgdiff_assets.recipe.recipe import Recipe, load_recipe
from imgdiff_assets.stages.graph import stage_named
from resources.loading.failures import ModelUnavailable
from tests.chat_server import REWRITER, Proxy

SHARD = "shard-000000"


@pytest.fixture
def proxy(chat_server_address: str) -> Iterator[Proxy]:
    with Proxy(chat_server_address).serving() as before:
        yield before


@pytest.fixture
def home(tmp_path: Path) -> Home:
    captions = tmp_path / "captions.txt"
    captions.write_text(
        "".join(f"a {colour} ball on the grass\n" for colour in ("red", "blue", "green", "pink", "white"))
    )
    home = Home(tmp_path / "home")
    ingest([captions], home)
    return home


def run(home: Home, recipe: Recipe) -> Materialization:
    stage = stage_named("prompt_pairs")
    inputs = read_inputs(stage, home, SHARD)
    return materialize(stage, SHARD, inputs, recipe, Ledger(home.ledger), shared_models(recipe), "run")


def test_a_server_that_goes_away_costs_one_batch(home: Home, proxy: Proxy) -> None:
    served = {"model": REWRITER, "base_url": proxy.base_url, "batch_size": 2, "concurrency": 1, "max_retries": 0}
    recipe = load_recipe("miniature", [f"prompt_rewriter.{name}={value}" for name, value in served.items()])
    proxy.dies_after = 3
    with pytest.raises(ModelUnavailable, match="What was measured is kept"):
        run(home, recipe)
    proxy.asked, proxy.dies_after = 0, None
    record = run(home, recipe)
    assert (record.reused, record.measured, record.errors) == (2, 3, 0)
    assert proxy.asked == 3
    assert record.devices == {"prompt_rewriter": "server"}
    assert record.models["prompt_rewriter"]["weights"].startswith("served:")
    assert record.peak_memory == {}
    # Elsewhere, and slower, it is still the same model.
    moved = load_recipe(
        "miniature",
        [
            f"prompt_rewriter.{name}={value}"
            for name, value in {**served, "base_url": proxy.behind, "concurrency": 2, "batch_size": 5}.items()
        ],
    )
    assert not run(home, moved).changed


def test_a_model_here_has_its_peak_memory_recorded(home: Home) -> None:
    record = run(home, load_recipe("miniature"))
    assert record.peak_memory.keys() == {"prompt_rewriter"}
    assert record.peak_memory["prompt_rewriter"] > 50_000_000
    assert Ledger(home.ledger).record("prompt_pairs", SHARD)["peak_memory"] == record.peak_memory
