"""Whatever is asked, by whomever: the site answers, breaks nothing, and shows nobody's text as markup."""

import hashlib
from collections import Counter

import pytest
from starlette.testclient import TestClient

from imgdiff_assets.browser.app import create_app
from imgdiff_assets.browser.plane import make_plane
from imgdiff_assets.browser.site import Site
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.corrections import CORRECTIONS
from imgdiff_assets.ledger.reviewers import add_reviewer
from imgdiff_assets.ledger.reviews import read_reviews
from imgdiff_assets.ledger.tags import TAGS
from imgdiff_assets.ledger.views import VIEWS
from imgdiff_assets.recipe.chosen_recipe import chosen_recipe
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.workbench.pages import PAGES
from tests.imgdiff_assets.workbench.requests_at_random import Known, at_random

TOKEN = "0123456789abcdef0123"
MARKUP = ("<script>alert", "<img src=x", "{{7*7}}49")


def ask(home: Home, recipe: Recipe, token: str | None, reviewers: bool, requests: int) -> Counter[int]:
    """How often each status came; fails for one that the server is to blame for."""
    own = home.root.parent / "own.yaml"
    own.write_text(chosen_recipe("miniature").text(), encoding="utf-8")
    site = Site(home, recipe, more=PAGES, recipe_file=own if token else None)
    make_plane(site.index, "pca")
    cookies = [f"imgdiff_reviewer={add_reviewer(home, name)}" for name in ("Ann", "Bob")] if reviewers else []
    if token:
        cookies = [f"imgdiff_token={token}; {cookie}" for cookie in cookies or [""]]
    app, known, seen, failed = create_app(site, token), Known(), Counter[int](), []
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False, follow_redirects=False) as client:
        for number in range(requests):
            asked = at_random(app, known, number, cookies)
            answer = client.request(asked.method, asked.address, headers=asked.headers, content=asked.body)
            seen[answer.status_code] += 1
            if answer.status_code >= 500:
                failed.append(f"{answer.status_code} {asked}")
            if "html" in answer.headers.get("content-type", ""):
                assert not [each for each in MARKUP if each in answer.text], asked
                assert "set-cookie" not in answer.headers, asked
                known.hear(answer.text)
            assert not answer.headers.get("location", "/").startswith(("//", "http")), asked
    assert failed == []
    assert {method for method, _ in known.asked} == {"GET", "POST"} or (token and not seen[200])
    return seen


def ledger_of(home: Home) -> dict[str, str]:
    files = sorted(path for path in home.ledger.rglob("*") if path.is_file())
    return {str(path.relative_to(home.ledger)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def check_what_was_written(home: Home) -> None:
    """All lines can be read, and each says something of a row that is there."""
    assert read_reviews(home).unreadable == ()
    for journal in (CORRECTIONS, TAGS, VIEWS):
        assert journal.read(home).unreadable == ()
    for said in CORRECTIONS.read(home).values:
        box = said.values.get("box")
        assert not isinstance(box, tuple) or (box[0] < box[2] and box[1] < box[3])


def test_a_few_requests(own_home: Home, drawn_recipe: Recipe) -> None:
    before = ledger_of(own_home)
    seen = ask(own_home, drawn_recipe, None, False, 100)
    assert {200, 303, 400, 404} <= seen.keys()
    check_what_was_written(own_home)
    assert ledger_of(own_home) == before


@pytest.mark.long
@pytest.mark.parametrize(("token", "reviewers"), [(None, False), (None, True), (TOKEN, False), (TOKEN, True)])
def test_seven_thousand_requests_in_all(
    own_home: Home, drawn_recipe: Recipe, token: str | None, reviewers: bool
) -> None:
    before = ledger_of(own_home)
    seen = ask(own_home, drawn_recipe, token, reviewers, 1750)
    assert {200, 303, 400, 403, 404} <= seen.keys()
    assert (401 in seen) == (token is not None)
    check_what_was_written(own_home)
    assert ledger_of(own_home) == before
