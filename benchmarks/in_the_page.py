"""A site in headless Chromium, and how long what people do there takes: from the key to what is seen."""

import os
import shutil
import socket
import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import uvicorn

from imgdiff_assets.browser.app import create_app
from imgdiff_assets.browser.site import Site

if TYPE_CHECKING:
    from playwright.sync_api import Page

SEEN = (
    "document.readyState === 'complete' && "
    "[...document.images].every((image) => image.complete || image.loading === 'lazy')"
)
NOW = "performance.timeOrigin + performance.now()"
PRESSED = f"addEventListener('keydown', () => localStorage.setItem('pressed', {NOW}), true)"


@contextmanager
def served(site: Site) -> Iterator[str]:
    """The address of a site that is served meanwhile, by a server of this process."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(create_app(site), log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def opened() -> Iterator["Page"]:
    """An empty page, 1280 x 900. Raises SystemExit without Chromium."""
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium")
    if path is None:
        raise SystemExit("no chromium on the PATH; Debian: apt-get install chromium")
    # As root, which containers often are, Chromium starts only without its sandbox.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=[*arguments, "--disable-dev-shm-usage"])
        # The policy of pages lets nobody ask by a string of script, as this does.
        yield browser.new_page(viewport={"width": 1280, "height": 900}, bypass_csp=True)
        browser.close()


def verdicts(page: "Page", count: int, keys: Sequence[str] = ("a",)) -> list[float]:
    """Milliseconds from each of `count` verdicts, given by key on the page Review, to the next sample with its images.

    By the browser's own clock: when the key went down, and when the next page was complete.
    """
    page.add_init_script(PRESSED)
    page.reload()
    page.wait_for_function(SEEN)
    taken = []
    for number in range(count):
        before = page.locator("[name=sample_id]").first.input_value()
        page.keyboard.press(keys[number % len(keys)])
        page.wait_for_function(f"document.querySelector('[name=sample_id]')?.value !== '{before}'")
        page.wait_for_function(SEEN)
        taken.append(
            page.evaluate(
                "performance.timeOrigin + performance.getEntriesByType('navigation')[0].loadEventEnd"
                " - Number(localStorage.getItem('pressed'))"
            )
        )
    return taken


def threshold(page: "Page", address: str, key: str, values: Sequence[float]) -> list[float]:
    """Milliseconds from moving the line to each value to the page's showing what it would keep, and at the edge."""
    page.goto(f"{address}/threshold?of={key}")
    page.wait_for_selector("[data-answer][aria-busy=false]")
    taken = []
    for value in values:
        page.evaluate(
            "(value) => { const slid = document.querySelector('[name=slid]'); slid.value = value;"
            " slid.dispatchEvent(new Event('input')); }",
            value,
        )
        tried = page.locator("[name=slid]").input_value()
        page.wait_for_selector(f"[data-answer][aria-busy=false][data-value='{tried}']")
        taken.append(float(page.locator("[data-answer]").get_attribute("data-milliseconds") or "nan"))
    return taken


def told(taken: Sequence[float]) -> dict[str, float]:
    return {"median": round(statistics.median(taken), 1), "most": round(max(taken), 1)}
