"""The documentation as a site: it leads nowhere into the void, finds every key, and asks nothing of others."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from docs.site.commands_page import commands_page
from docs.site.recipe_page import recipe_page
from docs.site.tables_page import tables_page
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import COMMON_STAGES as STAGES
from tests.pages import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Page


def build(project: Path, out: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(out)],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_reference_tells_every_key_and_why_rows_are_rejected() -> None:
    keys = "\n".join(recipe_page())
    recipe = load_recipe("paper").model_dump()
    for section in (
        recipe,
        *recipe["models"].values(),
        *(recipe[stage.name] for stage in STAGES),
        recipe["automation"],
    ):
        for name in section:
            assert f"| `{name}" in keys or f"## {name}" in keys or name == "models", name
    assert (
        f"min_similarity` | `float`, ≥ -1, ≤ 1 | `{Recipe.model_fields['filtered_pairs'].default.min_similarity}`"
        in keys
    )
    columns = "\n".join(tables_page())
    for stage in STAGES:
        for step in stage.filters:
            assert f"| `{step.name}` |" in columns
    assert "measured by `image_text_encoder` (compare); -1 to 1" in columns


def test_the_reference_shows_examples_as_a_shell_takes_them() -> None:
    lines = list(commands_page())
    assert "imgdiff run --strict  # for a script: what is not sound is an error" in lines
    assert any(
        line.startswith("| `--recipe` NAME\\|FILE | $IMGDIFF_RECIPE, recipe.yaml of the home, or miniature |")
        for line in lines
    )


@pytest.mark.slow
def test_a_link_that_leads_nowhere_is_not_built(tmp_path: Path) -> None:
    project = tmp_path / "project"
    for folder in ("docs", "deploy"):
        shutil.copytree(ROOT / folder, project / folder)
    for file in ("mkdocs.yml", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"):
        shutil.copy(ROOT / file, project)
    with (project / "docs" / "review.md").open("a", encoding="utf-8") as page:
        page.write("\n[Nowhere](nowhere.md), [nothing](models.md#nothing)\n")
    done = build(project, tmp_path / "site")
    assert done.returncode == 1
    assert "nowhere.md" in done.stderr
    assert "models.html#nothing" in done.stderr or "models.md#nothing" in done.stderr


@pytest.mark.slow
def test_the_site_needs_no_server_and_nobody_else(tmp_path: Path, page: "Page") -> None:
    done = build(ROOT, tmp_path / "site")
    assert done.returncode == 0, done.stderr
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    for name in ("index", "reference/recipe", "reference/commands", "architecture/index", "changelog"):
        page.goto((tmp_path / "site" / f"{name}.html").as_uri())
        assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)"), name
    page.keyboard.press("/")
    page.keyboard.type("min_similarity")
    page.locator(".md-search-result__item", has_text="Keys of a recipe").first.wait_for()
    assert said == []
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
