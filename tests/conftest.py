"""What all tests share: property tests draw the same examples every time, and never fail for being slow."""

import os
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

hypothesis.settings.register_profile("steady", derandomize=True, deadline=None)
hypothesis.settings.load_profile("steady")

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


# Not for the session: while Playwright's synchronous interface is open, no test of this thread can run asyncio.
@pytest.fixture(scope="module")
def chromium() -> "Iterator[Browser]":
    """The system's Chromium, headless. Without it tests are skipped, or fail where IMGDIFF_REQUIRE_CHROMIUM is set."""
    path = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if path is None:
        give_up = pytest.fail if os.environ.get("IMGDIFF_REQUIRE_CHROMIUM") else pytest.skip
        give_up(f"no {' or '.join(CHROMIUM)} on the PATH; Debian: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    # As root, which containers often are, Chromium starts only without its sandbox.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=[*arguments, "--disable-dev-shm-usage"])
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: "Browser") -> "Iterator[Page]":
    """An empty page of a fresh browser profile, 1280 × 900."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    yield context.new_page()
    context.close()


@pytest.fixture(scope="session")
def chat_server_address(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[str]":
    """The base URL of `transformers serve` over the miniature prompt rewriter and captioner."""
    from tests.chat_server import transformers_serve

    with transformers_serve(tmp_path_factory.mktemp("served")) as base_url:
        yield base_url
