"""As many runs side by side as there are cards; one where the workers of a run share them."""

from pathlib import Path

import pytest

from imgdiff_assets.defs.dagster_instance import dagster_instance
from imgdiff_assets.defs.gpu_places import POOL, set_places
from imgdiff_assets.home import Home
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from resources.loading import devices


def test_the_pool_has_a_place_for_each_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone, together = load_recipe("miniature"), load_recipe("miniature", ["workers.backend=local"])
    with dagster_instance(Home(tmp_path / "home")) as instance:
        for cards, recipe, places in ((8, alone, 8), (8, together, 1), (0, alone, 1)):
            monkeypatch.setattr(devices, "cards", lambda cards=cards: cards)
            assert set_places(instance, recipe) == places
            assert {pool.name: pool.limit for pool in instance.event_log_storage.get_pool_limits()} == {POOL: places}
