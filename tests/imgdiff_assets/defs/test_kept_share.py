"""A yield outside the recipe's bounds warns, and names the filter that rejects most."""

from typing import Any

import pytest

from imgdiff_assets.engine.record import kept_share_warnings
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import COMMON_NAMES as STAGE_NAMES


def record(kept: int, upstream: int = 0, **rejected: int) -> dict[str, Any]:
    seen = kept + sum(rejected.values())
    filters = []
    for name, count in rejected.items():
        filters.append({"filter": name, "seen": seen, "rejected": count})
        seen -= count
    rejections = {**rejected, **({"upstream": upstream} if upstream else {})}
    return {
        "asset": "filtered_pairs",
        "shard": "shard-000003",
        "rows": kept + upstream + sum(rejected.values()),
        "kept": kept,
        "rejections": rejections,
        "filters": filters,
    }


def test_a_yield_within_the_bounds_says_nothing() -> None:
    assert kept_share_warnings([record(5, too_different=3, too_similar=2)], (0.5, 0.9)) == []


@pytest.mark.parametrize("bounds", [(0.6, 1.0), (0.0, 0.4)])
def test_a_yield_outside_names_the_harshest_filter(bounds: tuple[float, float]) -> None:
    (warning,) = kept_share_warnings([record(5, too_different=3, too_similar=2)], bounds)
    assert warning == (
        f"filtered_pairs of shard-000003 keeps 50.0% of 10 rows, outside {bounds[0]:.1%} to {bounds[1]:.1%}; "
        "the filter too_different rejects most: 3 of 10."
    )


def test_a_filter_that_keeps_everything_is_outside_an_upper_bound() -> None:
    (warning,) = kept_share_warnings([record(10, too_different=0)], (0.1, 0.9))
    assert "keeps 100.0% of 10 rows" in warning


def test_rows_that_were_never_judged_do_not_count() -> None:
    assert kept_share_warnings([record(5, upstream=95, too_similar=5)], (0.5, 0.5)) == []
    assert kept_share_warnings([record(0, upstream=95)], (0.5, 0.5)) == []


def test_the_miniature_world_is_within_its_recipes_bounds(miniature_home: Home, miniature_recipe: Recipe) -> None:
    ledger = Ledger(miniature_home.ledger)
    # All but the one that filters nothing and the one that drops what people say.
    assert {*miniature_recipe.kept_share, "image_pairs", "fine_tune_set"} == set(STAGE_NAMES)
    for asset, bounds in miniature_recipe.kept_share.items():
        stored = ledger.record(asset, "shard-000000")
        assert stored is not None
        assert kept_share_warnings([stored], bounds) == []
        silent = {**stored, "kept": 0}
        assert len(kept_share_warnings([silent], bounds)) == 1
