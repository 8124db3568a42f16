"""Which recipe is meant, where its values come from, and recipes of one's own."""

from pathlib import Path

import pytest
import yaml

from imgdiff_assets.recipe.chosen_recipe import chosen_recipe, load_recipe
from imgdiff_assets.recipe.editions import shipped_recipes
from imgdiff_assets.recipe.mistakes import RecipeError
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.recipe.recipe_text import copy_text, with_overrides
from imgdiff_assets.recipe.sources import differences, show, values_of
from resources.loading import api_key

SET = ("filtered_pairs.min_similarity=0.85", "captioner.max_new_tokens=32", "automation.cron='0 3 * * *'")
SERVED = "models:\n  captioner:\n    base_url: http://server/v1\n"


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IMGDIFF_HOME", str(tmp_path))
    monkeypatch.delenv("IMGDIFF_RECIPE", raising=False)
    monkeypatch.setattr(api_key, "_named", set())
    return tmp_path


def write_own(home: Path, *overrides: str) -> None:
    (home / "recipe.yaml").write_text(copy_text(chosen_recipe("miniature"), overrides, "own"))


def test_the_nearest_word_chooses(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (chosen_recipe().name, chosen_recipe().by) == ("miniature", "default")
    write_own(own_home)
    assert (load_recipe().name, chosen_recipe().by) == ("own", "recipe.yaml of the home")
    monkeypatch.setenv("IMGDIFF_RECIPE", "modern")
    assert (load_recipe().name, chosen_recipe().by) == ("modern", "IMGDIFF_RECIPE")
    assert (load_recipe("paper").name, chosen_recipe("paper").by) == ("paper", "--recipe")


def test_a_recipe_that_was_found_in_a_home_does_not_say_where_the_key_goes(
    own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_own(own_home, "captioner.base_url=http://server/v1")
    api_key._named.clear()
    monkeypatch.setenv("IMGDIFF_API_KEY", "a key")
    load_recipe()
    assert api_key._named == set()
    load_recipe(None, ["captioner.base_url=http://server/v1"])
    assert api_key._named == {"http://server/v1"}
    api_key._named.clear()
    load_recipe(str(own_home / "recipe.yaml"))
    assert api_key.key_for("http://server/v1") == "a key"


def test_each_value_tells_where_it_comes_from(own_home: Path) -> None:
    write_own(own_home, SET[1])
    for name, source in ((None, "recipe.yaml"), ("miniature", "shipped")):
        chosen = chosen_recipe(name)
        values = values_of(load_recipe(name, SET[:1]), chosen, SET[:1])
        told = {".".join(each.path): (each.value, each.source) for each in values}
        assert told["filtered_pairs.min_similarity"] == (0.85, "--set")
        assert told["bounding_boxes.min_match"] == (0.4, source)
        assert told["max_tries"] == (3, "default")
        assert told["models.captioner.max_new_tokens"] == (32 if name is None else 24, source)
        assert "max_tries" not in show(chosen, values, everything=False)
        # What is shown is the recipe itself.
        shown = Recipe.model_validate(yaml.safe_load(show(chosen, values, everything=True)))
        assert shown == load_recipe(name, SET[:1])


@pytest.mark.parametrize("name", shipped_recipes())
def test_a_copy_has_the_values_and_the_comments(name: str, own_home: Path) -> None:
    text = copy_text(chosen_recipe(name), SET, "mine")
    (own_home / "copy.yaml").write_text(text)
    copied = load_recipe(str(own_home / "copy.yaml"))
    assert [key for key, _, _ in differences(load_recipe(name, SET), copied)] == ["name"]
    comments = [line for line in chosen_recipe(name).text().splitlines() if line.lstrip().startswith("#")]
    assert [line for line in text.splitlines() if line.lstrip().startswith("#")] == comments


def test_a_text_that_is_laid_out_otherwise_is_not_spoilt() -> None:
    text = yaml.safe_dump(load_recipe("miniature").model_dump(mode="json"), default_flow_style=True)
    with pytest.raises(RecipeError, match="write it in by hand"):
        with_overrides(text, SET)
