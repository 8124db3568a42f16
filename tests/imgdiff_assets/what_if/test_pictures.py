"""What-if over shards of pictures: judged by their own stages, beside shards of captions."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from imgdiff_assets.engine.given_pairs import stage_of_shard
from imgdiff_assets.engine.materialize import materialize
from imgdiff_assets.engine.parents import read_inputs
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.ingest_captions import ingest
from imgdiff_assets.ingest.ingest_pictures import ingest_pictures
from imgdiff_assets.ingest.shards import PICTURES, held_by, shard_keys
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.recipe.overrides import override_recipe
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import stage_named
from imgdiff_assets.statistics.funnel import funnel
from imgdiff_assets.what_if.sweep import sweep
from imgdiff_assets.what_if.what_if import WhatIf, what_if

RUN = ("prompt_pairs", "image_pairs", "filtered_pairs")
LONG = "a red ball and a blue cup on the sand"


class Players:
    """What real ones say is no concern here."""

    def answer(self, images: Sequence[Any], questions: Sequence[str]) -> list[str]:
        return [LONG for _ in questions]

    def edit(self, sources: Sequence[np.ndarray], instructions: Sequence[str], seeds: Any) -> list[np.ndarray]:
        return [np.ascontiguousarray(source[::-1]) for source in sources]


@pytest.fixture
def run(drawn_models: Any) -> Any:
    def over(home: Home, recipe: Recipe) -> None:
        models = drawn_models(recipe, captioner=Players(), editor=Players())
        for shard in shard_keys(home):
            for name in RUN:
                stage = stage_of_shard(stage_named(name), home, shard)
                materialize(stage, shard, read_inputs(stage, home, shard), recipe, Ledger(home.ledger), models, "run")

    return over


@pytest.fixture
def recipe(drawn_recipe: Recipe) -> Recipe:
    loose = ["filtered_pairs.min_similarity=-1", "filtered_pairs.max_similarity=1", "prompt_pairs.known_words=[]"]
    return override_recipe(drawn_recipe, ["editor.model=x", *loose])


@pytest.fixture
def home(tmp_path: Path, recipe: Recipe, run: Any) -> Home:
    """A shard of captions and one of pictures, of which one has a caption."""
    rng = np.random.default_rng(0)
    for number in range(3):
        Image.fromarray(rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(tmp_path / f"{number}.png")
    rows = [{"image": "0.png", "caption": "a red ball on the grass"}, {"image": "1.png"}, {"image": "2.png"}]
    (tmp_path / "table.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    (tmp_path / "captions.txt").write_text(f"{LONG}\na green tree on the road\n", encoding="utf-8")
    home = Home(tmp_path / "home")
    ingest([tmp_path / "captions.txt"], home)
    ingest_pictures([tmp_path / "table.jsonl"], home)
    run(home, recipe)
    return home


def told(home: Home, recipe: Recipe) -> WhatIf:
    return what_if(home, recipe, shard_keys(home))


def test_with_the_recipe_of_the_tables_nothing_changes(home: Home, recipe: Recipe) -> None:
    assert [held_by(home, shard) for shard in shard_keys(home)].count(PICTURES) == 1
    found = told(home, recipe)
    assert found.changes == []
    assert [item for item in found.to_measure if item.stage in RUN] == []
    counted = {stage.stage: stage for stage in funnel(Ledger(home.ledger), shard_keys(home)).stages}
    for change in found.stages[: len(RUN)]:
        assert change.present == counted[change.present.stage] == change.then
    assert found.stages[0].present.rows == 5


def test_a_threshold_is_foretold_as_a_run_judges(home: Home, recipe: Recipe, run: Any) -> None:
    other = override_recipe(recipe, ["prompt_pairs.max_words=8"])
    found = told(home, other)
    assert [item for item in found.to_measure if item.stage in RUN] == []
    assert sum(len(change.leaving) for change in found.stages[:1]) == 3
    run(home, other)
    counted = {stage.stage: stage for stage in funnel(Ledger(home.ledger), shard_keys(home)).stages}
    for change in found.stages[: len(RUN)]:
        assert change.then == counted[change.then.stage]


def test_what_would_be_asked_anew_is_counted_by_who_is_asked(home: Home, recipe: Recipe) -> None:
    found = told(home, override_recipe(recipe, ["prompt_pairs.pictures.caption_question='what is it ?'"]))
    (needed,) = [item for item in found.to_measure if item.stage == "prompt_pairs"]
    assert (needed.measurement, needed.roles, needed.rows) == ("caption", ("captioner",), 3)
    found = told(home, override_recipe(recipe, ["editor.batch_size=2", "editor.num_inference_steps=3"]))
    (needed,) = [item for item in found.to_measure if item.stage == "image_pairs"]
    assert (needed.measurement, needed.roles, needed.rows) == ("generate", ("editor",), 3)


def test_a_sweep_counts_both(home: Home, recipe: Recipe) -> None:
    points = sweep(home, recipe, shard_keys(home), "prompt_pairs.max_words=3:60:2").points
    assert [point.kept for point in points] == [0, 5]
