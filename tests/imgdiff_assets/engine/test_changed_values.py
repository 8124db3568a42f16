"""Which values of a recipe are not those that tables were made with."""

from imgdiff_assets.engine.changed_values import changed_text, changed_values
from imgdiff_assets.engine.staleness import Staleness
from imgdiff_assets.home import Home
from imgdiff_assets.recipe.overrides import override_recipe
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import COMMON_NAMES as STAGE_NAMES

SHARDS = ["shard-000000", "shard-000001", "shard-000002"]
OTHERWISE = ("filtered_pairs.min_similarity=0.75", "captioner.max_new_tokens=99")


def test_what_made_the_tables_is_told_beside_what_the_recipe_says(drawn_home: Home, drawn_recipe: Recipe) -> None:
    assert changed_values(drawn_home, drawn_recipe, SHARDS) == {}
    other = override_recipe(drawn_recipe, OTHERWISE)
    two = set(SHARDS[:2])
    assert changed_values(drawn_home, other, SHARDS) == {
        "filtered_pairs.min_similarity: 0.7 → 0.75": two,
        "captioner.max_new_tokens: 24 → 99": two,
    }


def test_what_this_run_was_told_is_no_news(drawn_home: Home, drawn_recipe: Recipe) -> None:
    changed = changed_values(drawn_home, override_recipe(drawn_recipe, OTHERWISE), SHARDS)
    assert changed_text(changed, ["models.captioner.max_new_tokens=99"]) == [
        "  filtered_pairs.min_similarity: 0.7 → 0.75 (2 shards)"
    ]
    assert changed_text(changed, OTHERWISE) == []


def test_a_run_finds_the_same(drawn_home: Home, drawn_recipe: Recipe) -> None:
    staleness = Staleness(drawn_home, override_recipe(drawn_recipe, OTHERWISE), STAGE_NAMES)
    for shard in SHARDS[:2]:
        staleness.plans(shard)
    assert staleness.changed["filtered_pairs.min_similarity: 0.7 → 0.75"] == set(SHARDS[:2])
