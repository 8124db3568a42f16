"""A survival curve is what-if asked at each value; its picture shows that curve."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from imgdiff_assets.cli.main import main
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.shards import shard_keys
from imgdiff_assets.recipe.mistakes import RecipeError
from imgdiff_assets.recipe.overrides import override_recipe
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.what_if.line_plot import COLOURS
from imgdiff_assets.what_if.sweep import SweepError, draw_sweep, sweep
from imgdiff_assets.what_if.what_if import what_if

SWEEPS = (
    ("filtered_pairs", "min_similarity", "0.5:0.99:6"),
    ("bounding_boxes", "max_overlap", "0:1:5"),
    ("prompt_pairs", "max_words", "3:12:4"),
)


@pytest.mark.parametrize(("stage", "key", "values"), SWEEPS)
def test_the_curve_is_what_what_if_says(
    drawn_home: Home, drawn_recipe: Recipe, stage: str, key: str, values: str
) -> None:
    shards = shard_keys(drawn_home)
    curve = sweep(drawn_home, drawn_recipe, shards, f"{stage}.{key}={values}")
    assert curve.present == getattr(getattr(drawn_recipe, stage), key)
    assert len({point.kept for point in curve.points}) > 1
    for point in curve.points:
        answer = what_if(drawn_home, override_recipe(drawn_recipe, [f"{stage}.{key}={point.value}"]), shards)
        funnels = {change.then.stage: change for change in answer.stages}
        assert point.kept == funnels[stage].then.kept
        assert point.undecided == funnels[stage].undecided
        assert point.samples == answer.stages[-1].then.kept
        assert list(point.to_measure) == answer.to_measure


def test_values_are_evenly_spaced_and_whole_where_the_setting_is(drawn_home: Home, drawn_recipe: Recipe) -> None:
    def values(text: str) -> list[float]:
        return [point.value for point in sweep(drawn_home, drawn_recipe, ["shard-000000"], text).points]

    assert values("filtered_pairs.min_similarity=0.7:0.9:3") == [0.7, 0.8, 0.9]
    assert values("bounding_boxes.max_boxes=1:3:9") == [1, 2, 3]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("filtered_pairs.min_similarity=0.7", "write stage.key=first:last:count"),
        ("filtered_pairs.min_similarity=a:b:3", "write stage.key=first:last:count"),
        ("nothing.min_similarity=0:1:3", "'nothing' is not a stage"),
        ("bounding_boxes.match_rule=0:1:3", "'match_rule' is not a number of bounding_boxes"),
        ("filtered_pairs.min_similarity=0:1:1", "the count is from 2 to 1000"),
    ],
)
def test_a_sweep_that_cannot_be_made_says_why(drawn_home: Home, drawn_recipe: Recipe, text: str, told: str) -> None:
    with pytest.raises(SweepError, match=told):
        sweep(drawn_home, drawn_recipe, ["shard-000000"], text)


def test_a_value_that_the_recipe_refuses_is_refused(drawn_home: Home, drawn_recipe: Recipe) -> None:
    with pytest.raises(RecipeError, match="max_boxes"):
        sweep(drawn_home, drawn_recipe, ["shard-000000"], "bounding_boxes.max_boxes=0:4:5")


def test_the_command_leaves_a_picture_of_the_curve(
    own_home: Home, monkeypatch: pytest.MonkeyPatch, drawn_recipe: Recipe, tmp_path: Path
) -> None:
    monkeypatch.setenv("IMGDIFF_HOME", str(own_home.root))
    done = CliRunner().invoke(main, ["what-if", "--sweep", "filtered_pairs.min_similarity=0.5:0.9:5", "--json"])
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    assert [point["value"] for point in answer["points"]] == [0.5, 0.6, 0.7, 0.8, 0.9]
    with Image.open(answer["picture"]) as image:
        image.verify()
    curve = sweep(own_home, drawn_recipe, shard_keys(own_home), "filtered_pairs.min_similarity=0.5:0.9:5")
    picture = np.asarray(draw_sweep(curve))
    colours = {"#" + bytes(colour).hex() for colour in np.unique(picture.reshape(-1, 3), axis=0)}
    assert {*COLOURS[:2]} <= colours
