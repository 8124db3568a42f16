"""The site with all its pages, over a home of the test's own."""

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from imgdiff_assets.browser.app import create_app
from imgdiff_assets.browser.site import Site
from imgdiff_assets.home import Home
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.workbench.pages import PAGES


@pytest.fixture
def own_site(own_home: Home, drawn_recipe: Recipe) -> Site:
    return Site(own_home, drawn_recipe, more=PAGES)


@pytest.fixture
def own_client(own_site: Site) -> Iterator[TestClient]:
    with TestClient(create_app(own_site), base_url="http://localhost") as client:
        yield client
