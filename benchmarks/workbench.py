"""What a person does in the browser, and how long it takes: `python -m benchmarks.workbench --home HOME`.

Over a copy of a home, as `make demo` leaves one, in headless Chromium, by keys as the page lists them (`?`). An action
is a key pressed, a text typed or a command given. Seconds are of the machine alone: nobody thinks meanwhile.
"""

import argparse
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.in_the_page import SEEN, opened, served, told, verdicts
from imgdiff_assets.browser.plane import make_plane
from imgdiff_assets.browser.site import Site
from imgdiff_assets.cli.run_graph import run_graph
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.corrections import CORRECTIONS
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.release.making import make_release
from imgdiff_assets.workbench.pages import PAGES

if TYPE_CHECKING:
    from playwright.sync_api import Page

VERDICTS = 20
REPO = "me/differences"


class Hands:
    """Keys on a page, counted."""

    def __init__(self, page: "Page") -> None:
        self.page, self.actions = page, 0

    def press(self, key: str) -> None:
        self.actions += 1
        self.page.keyboard.press(key)

    def type(self, text: str) -> None:
        self.actions += 1
        self.page.keyboard.insert_text(text)

    def see(self, selector: str) -> None:
        self.page.wait_for_selector(selector)
        self.page.wait_for_function(SEEN)


def measure(home: Home, recipe: Recipe, shots: Path | None) -> dict[str, Any]:
    """Seconds and actions of each thing that is done."""
    make_release(home, recipe)
    site = Site(home, recipe, more=PAGES)
    site.index.refresh()
    make_plane(site.index, "pca")
    found: dict[str, Any] = {}
    with served(site) as address, opened() as page:
        hands = Hands(page)

        def timed(what: str, do: Callable[[], Any]) -> None:
            hands.actions = 0
            began = time.perf_counter()
            more = do()
            seconds = round(time.perf_counter() - began, 2)
            found[what] = {"seconds": seconds, "actions": hands.actions, **(more or {})}
            if shots is not None:
                page.screenshot(path=shots / f"{what.replace(' ', '_')}.png")

        page.goto(f"{address}/gallery")
        page.wait_for_function(SEEN)
        timed("find all samples like one", lambda: _find_similar(hands))
        page.goto(f"{address}/review")
        timed("review twenty", lambda: _review(hands))
        timed("fix a caption", lambda: _fix(hands, home))
        # What was said goes into the samples, and a second release has them.
        with ThreadPoolExecutor(1) as pool:  # where no browser is spoken to
            pool.submit(run_graph, home, recipe).result()
            pool.submit(make_release, home, recipe).result()
        timed("compare two releases", lambda: _compare(hands))
    found["publish"] = _publish(home)
    return found


def _find_similar(hands: Hands) -> dict[str, Any]:
    """From the gallery: the first card, its page, what is like it."""
    hands.press("j")
    hands.press("Enter")
    hands.see("[data-viewer]")
    hands.press("a")
    hands.see("p[role=status]")
    return {"found": hands.page.locator("h1").inner_text()}


def _review(hands: Hands) -> dict[str, Any]:
    hands.press("Tab") if not hands.page.locator("[data-reviewer]:focus").count() else None
    hands.type("Ann")
    hands.press("Enter")
    hands.see("[data-review]")
    taken = verdicts(hands.page, VERDICTS, keys=("a", "a", "a", "1"))
    hands.actions += VERDICTS
    return {"milliseconds_to_the_next": told(taken)}


def _fix(hands: Hands, home: Home) -> dict[str, Any]:
    """Of the sample that is before the reviewer, or the next one of a region."""
    while not hands.page.locator("[data-correct]").count():
        hands.press("k")
        hands.see("[data-review]")
    hands.press("e")
    hands.page.wait_for_selector("textarea:focus")
    hands.press("Tab")
    hands.press("Tab")
    hands.press("Control+a")
    hands.type("The left image shows one thing and the right image shows another.")
    hands.press("Escape")
    hands.press("w")
    hands.see(".corrections")
    assert len(CORRECTIONS.read(home).values) == 1
    return {}


def _compare(hands: Hands) -> dict[str, Any]:
    hands.press("z")
    hands.see(".around")
    hands.press("3")
    hands.see(".around [aria-current]:has-text('changed')")
    return {"found": " ".join(hands.page.locator(".around").inner_text().split())}


def _publish(home: Home) -> dict[str, Any]:
    """By the command, as one gives it, to a server of the tests' own that speaks the Hub's protocol."""
    import huggingface_hub.constants
    from click.testing import CliRunner

    from imgdiff_assets.cli.main import main
    from tests.receiving_hub import ReceivingHub

    os.environ.update(IMGDIFF_HOME=str(home.root), HF_TOKEN="hf_of_a_benchmark")
    with ReceivingHub().serving() as hub:
        huggingface_hub.constants.ENDPOINT, huggingface_hub.constants.HF_HUB_DISABLE_XET = hub.address, True
        began = time.perf_counter()
        told = CliRunner().invoke(main, ["release", "--push", REPO, "--recipe", "miniature"], input="y\n")
        seconds = round(time.perf_counter() - began, 2)
        assert told.exit_code == 0, told.output
        return {"seconds": seconds, "actions": 2, "files": len(hub.files(REPO))}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--home", type=Path, required=True, help="a copy of it is worked on")
    parser.add_argument("--shots", type=Path, help="a folder for pictures of the pages")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    arguments = parser.parse_args()
    recipe = load_recipe("miniature")
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(shutil.copytree(arguments.home, Path(folder) / "home")))
        figures = measure(home, recipe, arguments.shots)
    for name, values in figures.items():
        print(f"{name:<28}{values['seconds']:>8.2f} s {values['actions']:>4} actions  " + json.dumps(values))
    if arguments.json:
        command = "python -m benchmarks.workbench --home HOME"
        arguments.json.write_text(json.dumps({"command": command, **figures}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
