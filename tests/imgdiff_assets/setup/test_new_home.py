"""`imgdiff init`: every answer makes a recipe that can be used."""

import json
from itertools import product
from pathlib import Path
from typing import Any, cast

import pytest
from click.testing import CliRunner

from imgdiff_assets.cli.main import main
from imgdiff_assets.home import Home
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.recipe.sources import differences
from imgdiff_assets.setup.new_home import HAVE, ON, Wish, next_steps, recipe_text

URL, MODEL = "http://gpu:8000/v1", "team/reader"


@pytest.mark.parametrize(("have", "on"), list(product(HAVE, ON)))
def test_every_answer_makes_a_recipe(have: Any, on: Any, tmp_path: Path) -> None:
    home, wish = Home(tmp_path / "my pairs"), Wish(have, on, URL, MODEL)
    (tmp_path / "recipe.yaml").write_text(recipe_text(wish, home))
    recipe = load_recipe(str(tmp_path / "recipe.yaml"))
    changed = {key: now for key, _, now in differences(load_recipe(wish.recipe), recipe)}
    roles = ["captioner", *(["prompt_rewriter"] if have == "captions" else [])] if on == "server" else []
    served = {f"{role}.{key}": value for role in roles for key, value in (("model", MODEL), ("base_url", URL))}
    assert changed == {"name": "my pairs", **served, **{f"{role}.revision": None for role in roles}}
    commands = " ".join(command for command, _ in next_steps(wish, home, None))
    assert ("ingest-pairs" in commands) == (have != "captions")
    assert "export IMGDIFF_HOME='" in commands


def test_what_no_option_says_is_asked_and_a_recipe_is_never_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "home"
    answers = f"captions\nserver\n{URL}\n{MODEL}\n"
    asked = CliRunner().invoke(main, ["init", str(folder)], input=answers)
    assert asked.exit_code == 0, asked.output
    assert "imgdiff ingest captions.txt --dry-run" in asked.stdout
    monkeypatch.setenv("IMGDIFF_HOME", str(folder))
    monkeypatch.delenv("IMGDIFF_RECIPE", raising=False)
    assert load_recipe().role("captioner").model == MODEL
    before = (folder / "recipe.yaml").read_text()
    again = CliRunner().invoke(main, ["init", str(folder), "--have", "captions", "--on", "miniature"])
    assert (again.exit_code, (folder / "recipe.yaml").read_text()) == (1, before)
    told = CliRunner().invoke(
        main, ["init", str(tmp_path / "other"), "--have", "photographs", "--on", "miniature", "--json"]
    )
    assert "not to be used" in cast(str, json.loads(told.stdout)["warning"])
