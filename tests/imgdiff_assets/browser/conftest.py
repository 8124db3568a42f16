"""The site over the small home, asked without a network."""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from starlette.testclient import TestClient

from imgdiff_assets.browser.app import create_app
from imgdiff_assets.browser.site import Site
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.cells import CellReference, is_image
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.recipe.overrides import override_recipe
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import COMMON_STAGES as STAGES
from imgdiff_assets.stages.graph import stage_named

ADDRESS = "http://localhost:8080"


@pytest.fixture(scope="session")
def seen_recipe(drawn_recipe: Recipe) -> Recipe:
    """With regions erased, so that there are samples of both branches."""
    return override_recipe(drawn_recipe, ["removed_pairs.enabled=true", "removed_pairs.max_regions=2"])


@pytest.fixture(scope="session")
def seen_home(
    drawn_home: Home, seen_recipe: Recipe, run_stages: Any, tmp_path_factory: pytest.TempPathFactory
) -> Home:
    """Read by tests, which leave it as it is, and fill its cache of thumbnails."""
    home = Home(Path(shutil.copytree(drawn_home.root, tmp_path_factory.mktemp("seen") / "home")))
    branch = ["removed_pairs", "removal_captions", "fine_tune_set"]
    run_stages(home, seen_recipe, ["shard-000000", "shard-000001"], branch)
    return home


@pytest.fixture(scope="session")
def site(seen_home: Home, seen_recipe: Recipe) -> Site:
    return Site(seen_home, seen_recipe, "http://dagster.example:3000")


@pytest.fixture(scope="session")
def client(site: Site) -> Iterator[TestClient]:
    with TestClient(create_app(site), base_url=ADDRESS) as client:
        yield client


@pytest.fixture
def own_site(own_home: Home, drawn_recipe: Recipe) -> Site:
    """For tests that change the home or write reviews."""
    return Site(own_home, drawn_recipe)


@pytest.fixture
def own_client(own_site: Site) -> Iterator[TestClient]:
    with TestClient(create_app(own_site), base_url=ADDRESS) as client:
        yield client


@pytest.fixture(scope="session")
def links() -> Callable[[str], list[str]]:
    """Every address that a page leads to, as a browser reads it."""
    return lambda page: [address.replace("&amp;", "&") for address in re.findall(r'(?:href|src)="([^"]*)"', page)]


@pytest.fixture(scope="session")
def commit_rows() -> Callable[..., None]:
    """`commit_rows(ledger, asset, shard, rows, ...)`: replace a table, as a run does."""

    def commit(
        ledger: Ledger,
        asset: str,
        shard: str,
        rows: list[dict[str, Any]],
        references: list[CellReference | None] | None = None,
        record: dict[str, Any] | None = None,
    ) -> None:
        schema = stage_named(asset).schema
        given = pa.schema([field for field in schema if not is_image(field) or any(field.name in row for row in rows)])
        table = pa.Table.from_pylist(rows, schema=given)
        record = record or ledger.record(asset, shard) or {}
        ledger.commit(asset, shard, schema, table, references or [None] * len(rows), record)

    return commit


@pytest.fixture(scope="session")
def ids(site: Site) -> dict[str, list[str]]:
    """All ids of every table, by stage."""

    def of(stage: Any) -> list[str]:
        rows = site.index.rows(f"SELECT DISTINCT {stage.id_column} AS id FROM {stage.name} ORDER BY id")
        return [row["id"] for row in rows]

    return {stage.name: of(stage) for stage in STAGES}
