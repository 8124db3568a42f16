"""What all tests share: property tests draw the same examples every time, and never fail for being slow.

And what makes them quick: one thread each, homes in memory, and what is dear first.
"""

import gc
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

# Before torch is loaded, here and in what tests start: the threads of models this small only wait for each other, on
# a busy machine a hundred times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import hypothesis
import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

hypothesis.settings.register_profile("steady", derandomize=True, deadline=None)
hypothesis.settings.load_profile("steady")

DEAR = ("deployment", "miniature_home", "measured_home", "chat_server_address", "chromium")
"""Fixtures that take many seconds to make, or to use, the slowest first."""
MEMORY, NEEDED = Path("/dev/shm"), 2 * 2**30
"""Where files are kept in memory, and the bytes free there from which on tests use it."""

# One run of Dagster waits two thousand times until its database is on the disk; in memory it need not.
if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= NEEDED:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with a dear fixture come first, beside each other: so one process makes it for all or most of them."""
    places: dict[Path, int] = {}
    for item in items:
        dear = [place for place, name in enumerate(DEAR) if name in getattr(item, "fixturenames", ())]
        places[item.path] = min([*dear, places.get(item.path, len(DEAR))])
    items.sort(key=lambda item: places[item.path])


def pytest_collection_finish() -> None:
    """What is loaded by now is no garbage: looking for some among a million objects takes half a second each time."""
    gc.freeze()


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
