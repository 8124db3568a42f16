"""A stage whose model is behind a server, which goes away in the middle."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa
import pytest

from imgdiff_assets.common.aliases import Row
from imgdiff_assets.common.hashing import content_hash
from imgdiff_assets.engine.batches import Batches, Failure
from imgdiff_assets.engine.loaded_models import LoadedModels
from imgdiff_assets.engine.materialize import materialize
from imgdiff_assets.engine.parents import read_inputs
from imgdiff_assets.engine.record import Materialization
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.ingest_captions import ingest
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.lineage.replay import shared_models
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import stage_named
from imgdiff_assets.stages.steps import Measurement, Work
from resources.captioner import CaptionerSettings
from resources.chat_server import ServedCaptioner
from resources.loading.failures import ModelUnavailable
from tests.chat_server import CAPTIONER, REWRITER, Proxy

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


@pytest.mark.parametrize("status", [400, 413, 422, 500])
def test_a_question_that_is_refused_fails_its_row_and_no_other_is_asked_twice(
    status: int, home: Home, proxy: Proxy
) -> None:
    served = {"model": REWRITER, "base_url": proxy.base_url, "concurrency": 2, "max_retries": 0}
    recipe = load_recipe(
        "miniature", ["max_error_share=1", *(f"prompt_rewriter.{name}={value}" for name, value in served.items())]
    )
    proxy.refused = {b"a green ball": status}
    record = run(home, recipe)
    assert (record.measured, record.errors) == (4, 1)
    assert proxy.asked == 5
    (failed,) = [row for row in Ledger(home.ledger).read("prompt_pairs", SHARD).to_pylist() if row["error"]]
    assert failed["source_caption"] == "a green ball on the grass"
    assert f"planned {status}" in failed["error"]
    # Another run asks again, and only that.
    proxy.asked, proxy.refused = 0, {}
    record = run(home, recipe)
    assert (record.reused, record.measured, record.errors, proxy.asked) == (4, 1, 0, 1)


def test_a_row_of_two_questions_fails_by_one(proxy: Proxy) -> None:
    captioner = ServedCaptioner(CaptionerSettings(model=CAPTIONER, base_url=proxy.base_url, max_new_tokens=8))
    image = np.zeros((16, 16, 3), np.uint8)

    def run(rows: Sequence[Row], work: Work) -> list[Row]:
        questions = [f"what is {side} {row['number']}" for row in rows for side in ("left", "right")]
        answers = captioner.answer([[image]] * len(questions), questions)
        return [{"answer": " ".join(both)} for both in zip(answers[::2], answers[1::2], strict=True)]

    step = Measurement("describe", (pa.field("answer", pa.string()),), ("number",), run)
    proxy.refused = {b"what is left 5": 413, b"what is right 2": 400}
    batches = Batches(step, cast(Work, None), 8)
    results = batches.run([{"number": number} for number in range(8)])
    failures = {row: result.kind for row, result in enumerate(results) if isinstance(result, Failure)}
    assert failures == {2: "bad_request", 5: "apistatus"}
    assert proxy.asked == 16
    batches.run([{"number": 0}])
    assert proxy.asked == 18, "what was answered is remembered for the rows of one batch"


def test_what_a_served_captioner_is_known_by_is_kept(chat_server_address: str) -> None:
    settings = CaptionerSettings(model=CAPTIONER, base_url=chat_server_address, max_new_tokens=32)
    identity = LoadedModels({"captioner": settings}, {}).identity("captioner")
    # As release 0.1.0 computed it.
    assert content_hash(identity) == "920dd9a6e98238c3c21f10da80a91e8eb0c8055aa3bc8bd5a4951fc61e8ecf93"
    assert identity["weights"] == "served:05efc2cedffab7f403527251acca99a86f01c0353da5571a292d22ebd16f47bc"


def test_a_model_here_has_its_peak_memory_recorded(home: Home) -> None:
    record = run(home, load_recipe("miniature"))
    assert record.peak_memory.keys() == {"prompt_rewriter"}
    assert record.peak_memory["prompt_rewriter"] > 50_000_000
    assert Ledger(home.ledger).record("prompt_pairs", SHARD)["peak_memory"] == record.peak_memory
