"""The benchmark of the control plane measures what there is."""

from itertools import takewhile
from pathlib import Path

import pytest

from benchmarks.control_plane import measure
from benchmarks.shards import clone_shards
from imgdiff_assets.recipe.chosen_recipe import load_recipe


@pytest.mark.long
def test_ticks_and_fresh_runs_are_measured(tmp_path: Path) -> None:
    recipe = load_recipe("miniature")
    home = clone_shards(tmp_path, recipe, 2)
    figures = dict(takewhile(lambda figure: not figure[0].startswith("page"), measure(home, recipe, (2,), repeats=1)))
    assert list(figures)[2:] == [
        "tick, nothing stale",
        "tick, all stale: one run",
        "fresh run of 1 shard",
        "fresh run of 2 shards",
    ]
    assert all(seconds > 0 for seconds in figures.values())
