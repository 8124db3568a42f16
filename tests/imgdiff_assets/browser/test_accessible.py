"""What axe-core finds on every page, by day, by night and on a phone: nothing.

`IMGDIFF_AXE` names its `axe.min.js` (`npm pack axe-core@4.14.1`, as `.ci/run` does); `IMGDIFF_SCREENSHOTS` a folder
for pictures of pages.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.in_the_page import served
from imgdiff_assets.browser.plane import make_plane
from imgdiff_assets.browser.site import Site
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.tags import TAGS, Tagged
from imgdiff_assets.ledger.views import VIEWS, View
from imgdiff_assets.reading.gathered import gather
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.release.contents import Contents, contents, write_contents
from imgdiff_assets.stages.graph import STAGES
from imgdiff_assets.workbench.pages import PAGES

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.slow
AXE = os.environ.get("IMGDIFF_AXE")
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}


@pytest.fixture(scope="module")
def home(seen_home: Home, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """With a tag, a view and two releases."""
    home = Home(Path(shutil.copytree(seen_home.root, tmp_path_factory.mktemp("accessible") / "home")))
    ledger = Ledger(home.ledger)
    rows = [dict(row) for row in contents(ledger, STAGES, gather(ledger, ["shard-000000"]), []).samples]
    other = {**rows[1], "answer": "Something else."}
    for number, told in ((1, rows), (2, [other, *rows[2:]])):
        (home.releases / str(number)).mkdir(parents=True)
        write_contents(Contents({"number": number, "version": str(number)}, told), home.releases / str(number))
    TAGS.add(home, [Tagged(rows[1]["sample_id"], "blurred", "Ann")])
    VIEWS.add(home, [View("doubtful", "/gallery?sort=captions.match")])
    return home


@pytest.fixture(scope="module")
def address(home: Home, seen_recipe: Recipe) -> Iterator[str]:
    site = Site(home, seen_recipe, more=PAGES)
    make_plane(site.index, "pca")
    with served(site) as address:
        yield address


def pages_of(home: Home) -> dict[str, str]:
    """The address of each kind of page, by a name of it."""
    ledger = Ledger(home.ledger)
    row = ledger.read("fine_tune_set", "shard-000000").to_pylist()[0]
    rejected = next(box for box in ledger.read("bounding_boxes", "shard-000000").to_pylist() if not box["kept"])
    return {
        "funnel": "/",
        "gallery": "/gallery",
        "regions": "/gallery?stage=bounding_boxes&verdict=all&sort=bounding_boxes.region_similarity",
        "contradiction": "/gallery?stage=filtered_pairs&verdict=kept&reason=too_similar&low=2&high=1",
        "similar": f"/gallery?stage=filtered_pairs&verdict=all&like={row['pair_id']}",
        "map": "/map",
        "row": f"/row/{row['sample_id']}",
        "rejected": f"/row/{rejected['region_id']}",
        "start": "/review",
        "review": "/review?reviewer=Ann",
        "certificate": "/certificate",
        "shards": "/shards",
        "releases": "/releases?kind=changed",
        "gone": "/releases?kind=gone",
        "threshold": "/threshold",
        "sorry": "/row/0123456789abcdef",
        "help": "/gallery?object=ball",
    }


def open_all(page: "Page") -> None:
    """What of the page shows only when it is asked for."""
    page.wait_for_load_state("networkidle")
    if page.locator("[data-correct] > summary").count():
        page.keyboard.press("e")
    if page.locator("[data-all]").count():
        page.locator("[data-all]").check()
    for answer in page.locator("[data-answer]").all():
        answer.locator("xpath=self::*[@aria-busy='false']").wait_for()


@pytest.mark.skipif(AXE is None, reason="IMGDIFF_AXE names no axe.min.js")
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_axe_finds_nothing(page: "Page", address: str, home: Home, size: Any) -> None:
    assert AXE is not None
    page.set_viewport_size(size)
    found: dict[str, Any] = {}
    for name, path in pages_of(home).items():
        page.goto(address + path)
        open_all(page)
        if name == "help":
            page.keyboard.press("?")
        page.evaluate(Path(AXE).read_text(encoding="utf-8"))
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            if folder := os.environ.get("IMGDIFF_SCREENSHOTS"):
                page.screenshot(path=Path(folder) / f"{name}-{scheme}-{size['width']}.png", full_page=True)
            violations = page.evaluate("axe.run().then((result) => result.violations)")
            told = [f"{each['id']}: {[node['html'][:160] for node in each['nodes'][:3]]}" for each in violations]
            found |= {f"{name}, {scheme}": told} if told else {}
        if page.evaluate("document.documentElement.scrollWidth") > size["width"]:
            found[name] = "wider than the screen"
    assert not found, "\n".join(f"{name}: {told}" for name, told in found.items())


def test_every_key_means_one_thing(page: "Page", address: str, home: Home) -> None:
    """On each page, as people see it: a key that stood for two would only ever do the first."""
    for name, path in pages_of(home).items():
        page.goto(address + path)
        open_all(page)
        keys = page.evaluate(
            "[...document.querySelectorAll('[aria-keyshortcuts]')].filter((part) => part.offsetParent !== null)"
            ".map((part) => part.getAttribute('aria-keyshortcuts'))"
        )
        assert sorted(keys) == sorted(set(keys)), name
