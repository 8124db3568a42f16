"""The site as people use it, in headless Chromium: by mouse, by keys alone, on a phone; no error on the console."""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.in_the_page import served
from imgdiff_assets.browser.site import Site
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.corrections import read_corrections
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.reviews import read_reviews
from imgdiff_assets.recipe.recipe import Recipe

if TYPE_CHECKING:
    from playwright.sync_api import Page

PHONE = {"width": 390, "height": 844}
HOSTILE = "<img src=x onerror=document.title='broken'>\"'><script>document.title='broken'</script>"


@pytest.fixture(scope="module")
def home(seen_home: Home, tmp_path_factory: pytest.TempPathFactory, commit_rows: Any) -> Home:
    """With a text that is markup in every kind of place."""
    home = Home(Path(shutil.copytree(seen_home.root, tmp_path_factory.mktemp("chromium") / "home")))
    ledger, shard = Ledger(home.ledger), "shard-000001"
    for name in ("prompt_pairs", "bounding_boxes", "captions", "fine_tune_set"):
        rows = ledger.read(name, shard).to_pylist()
        for row in rows:
            row |= {key: HOSTILE for key in row if key.endswith(("_caption", "_object", "answer")) and row[key]}
            if row.get("conversations"):
                row["conversations"] = [{"from": HOSTILE, "value": HOSTILE}]
        commit_rows(ledger, name, shard, rows)
    return home


@pytest.fixture(scope="module")
def address(home: Home, seen_recipe: Recipe) -> Iterator[str]:
    """Where the real server is."""
    with served(Site(home, seen_recipe)) as address:
        yield address


@pytest.fixture
def visit(page: "Page", address: str) -> Iterator[Callable[[str], "Page"]]:
    """Opens a page of the site; whatever its console says fails the test."""
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("response", lambda answer: said.append(answer.url) if answer.status >= 400 else None)

    def call(path: str) -> "Page":
        page.goto(address + path)
        return page

    yield call
    assert said == []
    assert page.title() != "broken"


@pytest.fixture(scope="module")
def sample(home: Home) -> dict[str, Any]:
    """A kept sample of a pair with several regions."""
    rows = Ledger(home.ledger).read("fine_tune_set", "shard-000000").to_pylist()
    boxes = Ledger(home.ledger).read("bounding_boxes", "shard-000000").to_pylist()
    found = [
        row
        for row in rows
        if row["kept"] and row["region_id"] and sum(box["pair_id"] == row["pair_id"] for box in boxes) > 2
    ]
    return next(row for row in found if row["erased_from"] is None)


def test_a_number_of_the_funnel_opens_its_rows(visit: Any) -> None:
    page = visit("/")
    link = page.locator(".reasons a", has_text="too_small").first
    count = int(link.locator("b").inner_text())
    link.click()
    page.wait_for_url("**/gallery**")
    assert page.locator("h1").inner_text().startswith(f"{count} row")
    assert page.locator(".card").count() == min(count, 48)
    assert page.locator(".tag.rejected").first.inner_text() == "too_small"


def test_a_bar_of_a_histogram_opens_its_rows(visit: Any) -> None:
    page = visit("/")
    bar = page.locator(".charts a").first
    kept, rejected = map(int, re.findall(r"(\d+) (?:kept|rejected)", bar.locator("title").text_content() or ""))
    bar.click()
    page.wait_for_url("**/gallery**")
    assert page.locator("h1").inner_text().startswith(f"{kept + rejected} row")


def test_the_gallery_filters_itself_and_shows_every_picture(visit: Any) -> None:
    page = visit("/gallery?stage=bounding_boxes&verdict=all")
    page.select_option("select[name=reason]", "same_content")
    page.wait_for_url("**reason=same_content**")
    assert "low=" not in page.url, "what is empty stays out of the address"
    page.select_option("select[name=stage]", "image_pairs")
    page.wait_for_url("**stage=image_pairs**")
    assert "reason" not in page.url
    page.wait_for_load_state("networkidle")
    assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")


def test_the_arrows_lead_through_what_the_gallery_found(visit: Any) -> None:
    """And what is chosen last holds: whoever chooses a reason among kept rows wants rejected ones."""
    page = visit("/gallery?stage=bounding_boxes")
    page.select_option("select[name=reason]", "too_small")
    page.wait_for_url("**reason=too_small**")
    assert page.locator("select[name=verdict]").input_value() == "rejected"
    shown = [card.get_attribute("href").partition("?")[0] for card in page.locator(".card").all()]
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    for address in (shown[0], shown[1], shown[2]):
        page.wait_for_url(f"**{address}?**")
        page.keyboard.press("ArrowRight")
    page.wait_for_url(f"**{shown[3]}?**")
    page.keyboard.press("ArrowLeft")
    page.wait_for_url(f"**{shown[2]}?**")
    assert page.locator(".around").inner_text().split()[1:4] == ["3", "of", str(len(shown))]


def test_both_boxes_light_up_together(visit: Any, sample: dict[str, Any]) -> None:
    page = visit(f"/row/{sample['sample_id']}")
    region = page.locator(f'.siblings li[data-region="{sample["region_id"]}"]')
    page.locator(f'.first a[data-region="{sample["region_id"]}"] rect').hover(force=True)
    assert page.locator(f'.sides a.lit[data-region="{sample["region_id"]}"]').count() == 2
    assert "lit" in (region.get_attribute("class") or "")
    page.mouse.move(1, 1)
    assert page.locator(".lit").count() == 0
    region.locator("a").first.focus()
    assert page.locator(".sides a.lit").count() == 2, "by keyboard too"


def test_the_images_are_compared_by_keys(visit: Any, sample: dict[str, Any]) -> None:
    page = visit(f"/row/{sample['sample_id']}")
    source, target = page.locator("figure.first"), page.locator("figure.second")
    beside = source.bounding_box(), target.bounding_box()
    assert beside[0]["x"] < beside[1]["x"]
    page.keyboard.press("s")
    assert source.bounding_box()["x"] > target.bounding_box()["x"]
    for key, mode in (("o", "overlay"), ("d", "difference"), ("b", "blink")):
        page.keyboard.press(key)
        assert page.locator(".viewer").get_attribute("data-mode") == mode
        assert page.locator(f"button[data-mode={mode}]").get_attribute("aria-pressed") == "true"
        assert source.bounding_box()["x"] == target.bounding_box()["x"], "one over the other"
    assert page.evaluate("getComputedStyle(document.querySelector('.second')).mixBlendMode") == "normal"
    for side in ("at-first", "at-second"):
        page.locator(f".viewer.{side}").wait_for()
    page.keyboard.press("b")
    assert page.locator(".viewer").get_attribute("data-mode") == "side", "pressed again, it ends"
    page.keyboard.press("x")
    assert not page.locator(".first svg").is_visible()


def test_zoom_and_move_both_images_together(visit: Any, sample: dict[str, Any]) -> None:
    page = visit(f"/row/{sample['sample_id']}")
    transforms = "[...document.querySelectorAll('.sheet')].map(sheet => getComputedStyle(sheet).transform)"
    for key in ("+", "+"):
        page.keyboard.press(key)
    zoomed = page.evaluate(transforms)
    assert zoomed[0] == zoomed[1]
    assert zoomed[0].startswith("matrix(2.25, 0, 0, 2.25")
    page.locator("[data-pan]").focus()
    page.keyboard.press("ArrowLeft")
    moved = page.evaluate(transforms)
    assert moved[0] == moved[1] != zoomed[0]
    box = page.locator(".first .frame").bounding_box()
    page.mouse.move(box["x"] + 50, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + 20, box["y"] + 20)
    page.mouse.up()
    assert page.evaluate(transforms)[0] != moved[0]
    page.keyboard.press("0")
    assert page.evaluate(transforms)[0] == "matrix(1, 0, 0, 1, 0, 0)"


def test_without_a_mouse_from_the_funnel_to_a_verdict(visit: Any, home: Home) -> None:
    page = visit("/")
    page.keyboard.press("g")
    page.wait_for_url("**/gallery")
    page.keyboard.press("j")
    page.keyboard.press("j")
    first = page.evaluate("document.activeElement.getAttribute('href')")
    assert first == page.locator(".card").nth(1).get_attribute("href")
    page.keyboard.press("Enter")
    page.wait_for_url("**/row/**")
    sample_id = first.partition("?")[0].rpartition("/")[2]
    page.keyboard.press("r")
    page.wait_for_url("**/review?sample=*")
    assert page.evaluate("document.activeElement.name") == "reviewer"
    page.keyboard.type("Ann")
    page.keyboard.press("Enter")
    page.wait_for_url("**reviewer=Ann**")
    page.keyboard.press("n")
    page.keyboard.type("a rather good one")
    page.keyboard.press("Enter")
    assert not read_reviews(home).by_sample, "Enter ends the note and says nothing of the sample"
    page.keyboard.press("a")
    page.wait_for_url("**last=**")
    (said,) = read_reviews(home).by_sample[sample_id].values()
    assert (said.verdict, said.note, said.queue) == ("accept", "a rather good one", "chosen")
    page.keyboard.press("u")
    page.locator(".undo").wait_for(state="detached")
    assert read_reviews(home).by_sample[sample_id]["Ann"].verdict == "withdrawn"
    page.keyboard.press("4")
    page.wait_for_url("**last=**")
    assert "Rejected as invented" in page.locator(".undo").inner_text()
    queued = page.locator("[name=sample_id]").first.input_value()
    page.keyboard.press("k")
    page.wait_for_url(f"**after={queued}**")
    assert page.locator("[name=sample_id]").first.input_value() != queued


def test_a_correction_is_made_by_keys_and_the_box_by_drawing(visit: Any, home: Home, sample: dict[str, Any]) -> None:
    page = visit(f"/row/{sample['sample_id']}")
    page.keyboard.press("e")
    page.locator("textarea:focus").wait_for()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text("a thing that somebody describes")
    page.keyboard.press("Escape")
    frame = page.locator(".sheet").first.bounding_box()
    page.mouse.move(frame["x"] + frame["width"] / 4, frame["y"] + frame["height"] / 4)
    page.mouse.down()
    page.mouse.move(frame["x"] + frame["width"] / 2, frame["y"] + frame["height"] / 2, steps=3)
    page.mouse.up()
    page.locator("[data-correct] [name=reviewer]").fill("Cara")
    page.keyboard.press("Escape")
    page.keyboard.press("w")
    page.locator(".corrections").wait_for()
    (said,) = read_corrections(home).values
    assert (said.by, said.values["source_region_caption"]) == ("Cara", "a thing that somebody describes")
    side = Ledger(home.ledger).read("image_pairs", "shard-000000")["width"][0].as_py()
    assert said.values["box"] == pytest.approx([side / 4, side / 4, side / 2, side / 2], abs=1)


def test_every_shortcut_is_listed(visit: Any, sample: dict[str, Any]) -> None:
    page = visit(f"/row/{sample['sample_id']}")
    page.keyboard.press("?")
    dialog = page.locator("#shortcuts")
    listed = dialog.locator("kbd").all_inner_texts()
    assert {"g", "/", "s", "b", "o", "d", "+", "x", "r", "?"} <= set(listed)
    assert len(set(listed)) == len(listed), "no key means two things"
    page.keyboard.press("g")
    assert dialog.is_visible(), "nothing else listens while the list is open"
    page.keyboard.press("Escape")
    assert not dialog.is_visible()
    page.keyboard.press("/")
    page.keyboard.type(sample["pair_id"][:8])
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/row/{sample['pair_id']}")


def test_a_command_is_copied_or_selected(visit: Any, sample: dict[str, Any]) -> None:
    page = visit(f"/row/{sample['sample_id']}")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    button = page.locator("[data-copy]").nth(1)
    button.click()
    page.get_by_text("Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == f"imgdiff replay {sample['sample_id']}"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_readable_on_a_phone(visit: Any, page: "Page", sample: dict[str, Any], scheme: Any) -> None:
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    page.emulate_media(color_scheme=scheme)
    for path in ("/", "/gallery", f"/row/{sample['sample_id']}", "/review?reviewer=Bob", "/certificate", "/shards"):
        visit(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], path
        smallest = page.evaluate(
            "Math.min(...[...document.querySelectorAll('main :is(p, a, dd, dt, td, button, label)')]"
            ".map(element => parseFloat(getComputedStyle(element).fontSize)))"
        )
        assert smallest >= 12, path
        colours = page.evaluate("(style => [style.color, style.backgroundColor])(getComputedStyle(document.body))")
        brightness = [sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in colours]
        assert (brightness[0] < brightness[1]) is (scheme == "light")


def test_text_stays_text(visit: Any, page: "Page", home: Home) -> None:
    ledger = Ledger(home.ledger)
    for stage in ("prompt_pairs", "bounding_boxes", "fine_tune_set"):
        visit(f"/gallery?stage={stage}&verdict=all&shard=shard-000001")
        assert page.title() != "broken"
    for name, column in (("fine_tune_set", "sample_id"), ("bounding_boxes", "region_id")):
        visit(f"/row/{ledger.read(name, 'shard-000001')[column][0].as_py()}")
        assert "<script>" in page.locator("main").inner_text()
        assert page.locator("main script, main img[src=x]").count() == 0
