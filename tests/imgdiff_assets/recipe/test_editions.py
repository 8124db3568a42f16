"""A shipped recipe that changes: a home goes on with the one that it was begun with, until it is told otherwise."""

import json
import re
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from imgdiff_assets.cli.main import main
from imgdiff_assets.common.hashing import content_hash
from imgdiff_assets.engine.plan import plan_stage
from imgdiff_assets.home import Home
from imgdiff_assets.recipe import chosen_recipe, editions
from imgdiff_assets.recipe.chosen_recipe import changed_since, load_recipe
from imgdiff_assets.recipe.editions import RELEASE, UnreadableEditions, note_edition, shipped_file
from imgdiff_assets.stages.graph import stages_of
from resources.inpainter import InpainterSettings

IDENTITIES = {
    "modern": "a95fdfae27f5c384edcce57ac8e65fe02513a7749dbe582ab8769707f11da19c",
    "paper": "4c33adca9482c2204f3e926fc1844edd0c698725647dd8c41ed48701e657be1f",
}
"""What the shipped recipes of 0.1.0 measure by models is known by, weights and noise aside: see the changelog."""


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The miniature as 0.1.0 shipped it, and a newer one with another threshold."""
    folder = Path(shutil.copytree(editions.SHIPPED, tmp_path / "shipped"))
    text = (folder / "miniature.yaml").read_text(encoding="utf-8")
    (folder / "0.1.0" / "miniature.yaml").write_text(text, encoding="utf-8")
    (folder / "miniature.yaml").write_text(text.replace("max_similarity: 0.995", "max_similarity: 0.5"), "utf-8")
    monkeypatch.setattr(editions, "SHIPPED", folder)
    monkeypatch.setattr(chosen_recipe, "SHIPPED", folder)
    return folder


def threshold(home: Home, monkeypatch: pytest.MonkeyPatch, **options: Any) -> float:
    monkeypatch.setenv("IMGDIFF_HOME", str(home.root))
    return float(load_recipe("miniature", **options).filtered_pairs.max_similarity)


def test_todays_recipes_are_of_this_release() -> None:
    pyproject = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8"))
    assert pyproject["project"]["version"] == RELEASE


@pytest.mark.usefixtures("shipped")
def test_a_home_goes_on_with_what_it_was_begun_with(
    home_of_0_1_0: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = Home(tmp_path / "new")
    assert threshold(new, monkeypatch) == 0.5
    assert changed_since("miniature") is None
    assert threshold(home_of_0_1_0, monkeypatch) == 0.995, "its tables say that it was begun with it"
    assert "than this home was begun with (that of 0.1.0)" in (changed_since("miniature") or "")
    assert load_recipe("miniature", ["filtered_pairs.max_similarity=0.7"]).filtered_pairs.max_similarity == 0.7
    for name in ("miniature", "modern", "a recipe of my own"):
        note_edition(home_of_0_1_0, name)
    noted = json.loads((home_of_0_1_0.root / "recipes.json").read_text(encoding="utf-8"))
    assert noted == {"miniature": "0.1.0", "modern": RELEASE}, "modern is new to this home"
    assert threshold(home_of_0_1_0, monkeypatch) == 0.995
    # Told otherwise:
    assert threshold(home_of_0_1_0, monkeypatch, anew=True) == 0.5
    note_edition(home_of_0_1_0, "miniature", anew=True)
    assert threshold(home_of_0_1_0, monkeypatch) == 0.5
    assert changed_since("miniature") is None


def test_the_next_folder_after_a_homes_release_has_its_recipe(tmp_path: Path, shipped: Path) -> None:
    """0.3.0 shipped the recipe as 0.2.0 did, after which it was changed."""
    (shipped / "0.3.0").mkdir()
    shutil.copy(shipped / "miniature.yaml", shipped / "0.3.0")
    for release, folder in (("0.1.0", "0.1.0"), ("0.2.0", "0.3.0"), ("0.3.0", "0.3.0"), ("0.10.0", "shipped")):
        (tmp_path / "recipes.json").write_text(json.dumps({"miniature": release}), encoding="utf-8")
        assert shipped_file(Home(tmp_path), "miniature").parent.name == folder


@pytest.mark.usefixtures("shipped")
def test_a_dry_run_tells_what_the_new_one_changes(home_of_0_1_0: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMGDIFF_HOME", str(home_of_0_1_0.root))
    monkeypatch.delenv("IMGDIFF_RECIPE", raising=False)
    command = ["run", "--shards", "shard-000000", "--dry-run"]
    assert "max_similarity: 0.995 → 0.5" in CliRunner().invoke(main, [*command, "--new-recipe"]).output
    assert not (home_of_0_1_0.root / "recipes.json").exists(), "a dry run changes nothing"
    assert "max_similarity" not in CliRunner().invoke(main, command).output


@pytest.mark.parametrize("text", ["{", "[]", '{"modern": "../../elsewhere"}', '{"modern": null}'])
def test_a_file_that_says_nothing_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "recipes.json").write_text(text, encoding="utf-8")
    with pytest.raises(UnreadableEditions, match=r"recipes\.json does not say"):
        shipped_file(Home(tmp_path), "modern")


@pytest.mark.parametrize("name", IDENTITIES)
def test_what_0_1_0_measured_is_known_by_the_same(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMGDIFF_HOME", str(tmp_path))
    monkeypatch.delattr(InpainterSettings, "identity")
    (tmp_path / "recipes.json").write_text(json.dumps({name: "0.1.0"}), encoding="utf-8")
    values = load_recipe(name)
    plans = [plan_stage(stage, values, None) for stage in stages_of(values)]
    steps = [(plan, step) for plan in plans for step in plan.stage.measurements if step.roles]
    known = {f"{plan.stage.name}.{step.name}": plan.identity(step) for plan, step in steps}
    assert content_hash(known) == IDENTITIES[name]


def test_the_release_is_the_changelogs() -> None:
    changelog = (Path(__file__).parents[3] / "CHANGELOG.md").read_text(encoding="utf-8")
    (latest, *_) = re.findall(r"^## (\S+)", changelog, re.MULTILINE)
    assert latest == RELEASE
