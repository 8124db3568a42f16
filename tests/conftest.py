"""What all tests share: property tests draw the same examples every time, and never fail for being slow.

And what makes them quick: one thread each, homes in memory, and what is dear first.
"""

import gc
import os
import shutil
import sys
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Before torch is loaded, here and in what tests start: the threads of models this small only wait for each other, on
# a busy machine a hundred times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import absl.logging
import duckdb
import hypothesis
import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

# What one process has compiled, the next need not: the tests start many, and rewriting their assertions takes seconds.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Until all is imported: looking for garbage among what the libraries define takes half as long as importing them.
gc.disable()

hypothesis.settings.register_profile("steady", derandomize=True, deadline=None)
hypothesis.settings.load_profile("steady")

ROOT = Path(__file__).parents[1]
DEAR = ("deployment", "miniature_home", "measured_home", "chat_server_address")
"""Fixtures that take many seconds to make, or to use, the slowest first."""
MEMORY, NEEDED = Path("/dev/shm"), 2 * 2**30
"""Where files are kept in memory, and the bytes free there from which on tests use it."""

# One run of Dagster waits two thousand times until its database is on the disk; in memory it need not.
if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= NEEDED:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))

# DuckDB's threads, too, wait for each other over tables of a few rows.
duckdb.connect = partial(duckdb.connect, config={"threads": 1})

# Abseil, which mlcroissant imports, closes the stream that it logs to whenever logging is configured anew: it would be
# the one that pytest captures, and no later test of the process could begin. The interpreter's own is never closed.
absl.logging.get_absl_handler().python_handler.setStream(sys.__stderr__)

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@cache
def dear_fixture(file: str) -> str | None:
    """The dearest that the tests of a file, named from the root, ask for."""
    text = (ROOT / file).read_text(encoding="utf-8")
    return next((name for name in DEAR if f"{name}: " in text), None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is dear comes first: so no process goes on with it when the others are at an end."""
    places = [*DEAR, None]
    items.sort(key=lambda item: places.index(dear_fixture(str(item.path.relative_to(ROOT)))))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Files with the same dear fixture go to one process, which makes it once; other files one by one."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file: str = super()._split_scope(nodeid)
            return dear_fixture(file) or file

    return Scheduling(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_collection_finish() -> None:
    """What is loaded by now is no garbage: looking for some among a million objects takes half a second each time."""
    gc.freeze()
    gc.enable()
    gc.set_threshold(20_000)


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
