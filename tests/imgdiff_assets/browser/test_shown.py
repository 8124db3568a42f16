"""A page shows of a sample what trainers are shown: the same images in the same order, box, question and answer."""

import base64
import html
import io
import json
import re
import shutil
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from starlette.testclient import TestClient

from imgdiff_assets.browser.app import create_app
from imgdiff_assets.browser.report import write_report
from imgdiff_assets.browser.site import Site
from imgdiff_assets.cli.main import main
from imgdiff_assets.common.aliases import Pixels
from imgdiff_assets.export.exporting import export
from imgdiff_assets.export.formats import formats
from imgdiff_assets.export.options import Options
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.images import ErasedImages, PairImages, decode, pixel_hash
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.reviews import ACCEPT, read_reviews, verdicts_of_shard
from imgdiff_assets.method.regions import draw_box
from imgdiff_assets.method.tasks import LETTERS, TASKS
from imgdiff_assets.pictures.inline_sheet import GAP, GUTTER, SHOWN, SIDE, kept_and_rejected
from imgdiff_assets.reading.gathered import gather
from imgdiff_assets.recipe.overrides import override_recipe
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import stage_named
from resources.images.crops import padded

SHARDS = ["shard-000000", "shard-000001"]
ORIGIN = {"origin": "http://localhost:8080"}
Rows = dict[str, dict[str, Any]]
Pair = tuple[Pixels, Pixels]


@pytest.fixture(scope="module")
def asked_recipe(seen_recipe: Recipe) -> Recipe:
    """Its seed is one by which every task has samples with either image first."""
    tasks = f"fine_tune_set.tasks={list(TASKS)}"
    return override_recipe(seen_recipe, ["seed=19", tasks, "fine_tune_set.min_match_margin=0"])


@pytest.fixture(scope="module")
def asked_home(
    seen_home: Home, asked_recipe: Recipe, run_stages: Any, tmp_path_factory: pytest.TempPathFactory
) -> Home:
    """With samples of every task, of regions, erased regions and whole pairs."""
    home = Home(Path(shutil.copytree(seen_home.root, tmp_path_factory.mktemp("asked") / "home")))
    run_stages(home, asked_recipe, SHARDS, ["captions", "fine_tune_set"])
    return home


@pytest.fixture(scope="module")
def pages(asked_home: Home, asked_recipe: Recipe) -> Iterator[TestClient]:
    """Over a home that stays as it is: so every page and image is asked for once."""
    with TestClient(create_app(Site(asked_home, asked_recipe)), base_url="http://localhost:8080") as client:
        client.get = cache(client.get)  # type: ignore[method-assign]
        yield client


@pytest.fixture(scope="module")
def samples(asked_home: Home) -> Rows:
    """The kept rows of the ledger by id, in the order of exports."""
    gathered = gather(Ledger(asked_home.ledger), SHARDS)
    rows = {
        row["sample_id"]: {**row, "shard": shard}
        for shard in SHARDS
        for row in Ledger(asked_home.ledger).read("fine_tune_set", shard).to_pylist()
    }
    return {sample.sample_id: rows[sample.sample_id] for sample in gathered}


@pytest.fixture(scope="module", params=["one of each kind", pytest.param("all", marks=pytest.mark.slow)])
def looked_at(samples: Rows, request: pytest.FixtureRequest) -> Rows:
    """Those whose pages are opened."""
    if request.param == "all":
        return samples
    kinds = {
        (row["task"], row["first"], row["erased_from"], row["region_id"] is None): key for key, row in samples.items()
    }
    return {key: samples[key] for key in kinds.values()}


@pytest.fixture(scope="module")
def truth(asked_home: Home, samples: Rows) -> dict[str, Pair]:
    """The two images of every sample in the order that its row says, read from the ledger's cells."""
    ledger, found = Ledger(asked_home.ledger), {}
    for shard in SHARDS:
        with closing(PairImages(ledger, shard)) as pairs, closing(ErasedImages(ledger, shard)) as erased:
            for name, row in samples.items():
                if row["shard"] != shard:
                    continue
                source, target = pairs(row["pair_id"])
                if row["erased_from"] is not None:
                    source, target = (source, target)[row["erased_from"] == "target"], erased(row["region_id"])[0]
                found[name] = (source, target) if row["first"] == "source" else (target, source)
    return found


def figures(page: str) -> list[tuple[str, str]]:
    """(caption, address) of the images of a page's viewer, from left to right."""
    found = re.findall(r'<figcaption>(.*?)</figcaption>.*?<img src="(/image/[^"]*)"', page, re.DOTALL)
    assert len(found) == 2
    return found


def images_of(client: TestClient, page: str) -> list[Pixels]:
    return [decode(client.get(address).content) for _, address in figures(page)]


def said_on(page: str) -> tuple[str, str]:
    """Question and answer."""
    found = re.search(r"<dt>question</dt><dd><bdi>(.*?)</bdi></dd>\s*<dt>answer</dt><dd><bdi>(.*?)</bdi></dd>", page)
    assert found is not None
    return html.unescape(found[1]), html.unescape(found[2])


def marked_on(page: str) -> list[tuple[float, ...]]:
    """The boxes that are drawn as trainers see them, of both images."""
    rects = re.findall(
        r'<rect class="shown asked" x="([^"]*)" y="([^"]*)" width="([^"]*)" height="([^"]*)"', page.partition("<dl")[0]
    )
    return [(x, y, x + width, y + height) for x, y, width, height in (map(float, rect) for rect in rects)]


def equal(shown: Any, expected: Any) -> bool:
    return [pixel_hash(image) for image in shown] == [pixel_hash(image) for image in expected]


def in_order(shown: list[Pixels], expected: Pair) -> bool:
    """Whether small and lossy pictures are of the two images in this order, not the other way round."""
    sizes = [image.shape[1::-1] for image in shown]
    small = [[np.asarray(Image.fromarray(image).resize(size), dtype=float) for image in expected] for size in sizes]
    right, wrong = (
        sum(np.abs(shown[place] - small[place][place ^ turned]).mean() for place in (0, 1)) for turned in (0, 1)
    )
    return bool(right < wrong) or equal(expected[:1], expected[1:])


def test_every_kind_of_sample_is_there(samples: Rows) -> None:
    kinds = Counter((row["task"], row["first"], row["erased_from"] is not None) for row in samples.values())
    # No pair of these homes has two kept regions.
    for task in (task for task in TASKS.values() if task.name != "differences"):
        for first in ("source", "target") if task.shuffled else ("source",):
            assert kinds[task.name, first, False] > 0, (task.name, first)
    assert kinds["which_image", "source", True] > 0
    assert kinds["which_image", "target", True] > 0
    answers = {(row["first"], row["answer"]) for row in samples.values() if row["task"] == "which_image"}
    assert answers == {(first, letter) for first in ("source", "target") for letter in LETTERS}
    assert any(row["region_id"] is None for row in samples.values()), "one is about a whole pair"


@pytest.mark.parametrize("address", ["/row/{}", "/review?reviewer=Ann&sample={}"])
def test_pages_show_what_the_row_says(
    pages: TestClient, looked_at: Rows, truth: dict[str, Pair], address: str
) -> None:
    for name, row in looked_at.items():
        page = pages.get(address.format(name)).text
        assert equal(images_of(pages, page), truth[name]), (row["task"], row["first"], row["erased_from"])
        source, target = (row["erased_from"], "erased") if row["erased_from"] else ("source", "target")
        names = (source, target) if row["first"] == "source" else (target, source)
        assert [caption for caption, _ in figures(page)] == [f"first (A): {names[0]}", f"second (B): {names[1]}"]
        assert said_on(page)[1] == row["answer"]
        box = tuple(row[corner] for corner in ("x1", "y1", "x2", "y2"))
        assert marked_on(page) == [pytest.approx(box)] * (2 if TASKS[row["task"]].marked else 0)


def test_a_reviewer_sees_no_box_but_the_samples_own(pages: TestClient, looked_at: Rows) -> None:
    for name, row in looked_at.items():
        page = pages.get(f"/review?reviewer=Ann&sample={name}").text
        regions = re.findall(r'<a href="/row/([0-9a-f]+)" tabindex="-1" data-region', page)
        assert regions == ([row["region_id"]] * 2 if row["region_id"] else [])


@pytest.mark.parametrize("every", [3, pytest.param(1, marks=pytest.mark.slow)])
def test_rows_that_are_no_samples_have_the_source_first(pages: TestClient, asked_home: Home, every: int) -> None:
    ledger = Ledger(asked_home.ledger)
    for row in ledger.read("image_pairs", SHARDS[0]).to_pylist()[::every]:
        if row["source_hash"]:
            page = pages.get(f"/row/{row['pair_id']}").text
            if "dt>question<" not in page:
                assert [caption for caption, _ in figures(page)] == ["source", "target"]
    for row in ledger.read("bounding_boxes", SHARDS[0]).to_pylist()[::every]:
        page = pages.get(f"/row/{row['region_id']}").text
        if "dt>question<" not in page:
            assert [caption for caption, _ in figures(page)] == ["source", "target"]


def llava(out: Path, names: list[str]) -> Iterator[tuple[str, list[Pixels], str, str]]:
    for entry in entries(out):
        said = [turn["value"] for turn in entry["conversations"]]
        yield entry["id"], [read(out / path) for path in entry["image"]], *said


def messages(out: Path, names: list[str]) -> Iterator[tuple[str, list[Pixels], str, str]]:
    for name, entry in zip(names, entries(out), strict=True):
        said = [message["content"] for message in entry["messages"]]
        yield name, [read(out / path) for path in entry["images"]], *said


def hf(out: Path, names: list[str]) -> Iterator[tuple[str, list[Pixels], str, str]]:
    import datasets

    for rows in datasets.load_dataset(str(out), cache_dir=str(out.parent / "cache")).values():
        for row in rows:
            shown = [np.asarray(row[f"image_{number}"].convert("RGB")) for number in (1, 2)]
            yield row["sample_id"], shown, row["question"], row["answer"]


def webdataset(out: Path, names: list[str]) -> Iterator[tuple[str, list[Pixels], str, str]]:
    found: dict[str, dict[str, bytes]] = {}
    for path in out.glob("*.tar"):
        with tarfile.open(path) as tar:
            for member in tar.getmembers():
                name, _, kind = member.name.partition(".")
                found.setdefault(name, {})[kind] = tar.extractfile(member).read()  # type: ignore[union-attr]
    for name, files in found.items():
        about = json.loads(files["json"])
        yield (
            name,
            [decode(files[f"{place}.png"]) for place in ("first", "second")],
            about["question"],
            about["answer"],
        )


def entries(out: Path) -> list[dict[str, Any]]:
    found = []
    for split in ("train", "validation"):
        if (out / f"{split}.jsonl").exists():
            found += [json.loads(line) for line in (out / f"{split}.jsonl").read_text("utf-8").splitlines()]
        else:
            found += json.loads((out / f"{split}.json").read_text("utf-8"))
    return found


def read(path: Path) -> Pixels:
    return decode(path.read_bytes())


READERS: dict[str, Callable[[Path, list[str]], Iterator[tuple[str, list[Pixels], str, str]]]] = {
    "llava": llava,
    "sharegpt": messages,
    "swift": messages,
    "hf": hf,
    "webdataset": webdataset,
}


@pytest.mark.parametrize("boxes", [False, True], ids=["clean", "boxes"])
@pytest.mark.parametrize("name", READERS)
def test_trainers_are_shown_the_page(
    asked_home: Home, pages: TestClient, samples: Rows, looked_at: Rows, tmp_path: Path, name: str, boxes: bool
) -> None:
    export(
        Ledger(asked_home.ledger), SHARDS, formats()[name], tmp_path / "out", Options(boxes=boxes), lambda *told: None
    )
    by_split = [key for split in ("train", "validation") for key, row in samples.items() if row["split"] == split]
    seen = []
    for key, exported, question, answer in READERS[name](tmp_path / "out", by_split):
        seen.append(key)
        if key not in looked_at:
            continue
        page = pages.get(f"/row/{key}").text
        shown = images_of(pages, page)
        if boxes and (marked := marked_on(page)):
            shown = [draw_box(image, box) for image, box in zip(shown, marked, strict=True)]
        assert equal(exported, shown), (key, samples[key]["task"], samples[key]["first"])
        if name != "swift":
            assert answer == said_on(page)[1]
        if boxes and name != "swift":
            assert question.replace("<image>", "").strip() == said_on(page)[0]
    assert sorted(seen) == sorted(samples)


def test_the_released_layout_has_the_pages_images(
    asked_home: Home, pages: TestClient, samples: Rows, tmp_path: Path
) -> None:
    export(Ledger(asked_home.ledger), SHARDS, formats()["imgdiff"], tmp_path / "out", Options(), lambda *told: None)
    by_region = {row["region_id"]: key for key, row in samples.items() if row["task"] == "difference"}
    for entry in entries(tmp_path / "out"):
        page = pages.get(f"/row/{by_region[Path(entry['path']).name]}").text
        shown = [draw_box(*both) for both in zip(images_of(pages, page), marked_on(page), strict=True)]
        for number, image in enumerate(shown):
            exported = read(tmp_path / "out" / f"{entry['path']}_{number}.jpg")
            assert np.abs(exported.astype(int) - image).mean() < 6, "the same picture, but for the JPEG encoding"


def test_coco_names_the_pages_images(asked_home: Home, pages: TestClient, samples: Rows, tmp_path: Path) -> None:
    export(Ledger(asked_home.ledger), SHARDS, formats()["coco"], tmp_path / "out", Options(), lambda *told: None)
    checked = 0
    for split in ("train", "validation"):
        written = json.loads((tmp_path / "out" / "annotations" / f"{split}.json").read_text())
        files = {image["id"]: image["file_name"] for image in written["images"]}
        for annotation in written["annotations"]:
            for key, row in samples.items():
                if row["region_id"] != annotation["region_id"] or row["erased_from"] is not None:
                    continue
                page = pages.get(f"/row/{key}").text
                captions = [caption.rpartition(": ")[2] for caption, _ in figures(page)]
                image = images_of(pages, page)[captions.index(annotation["side"])]
                assert equal([read(tmp_path / "out" / files[annotation["image_id"]])], [image])
                checked += 1
    assert checked > 10


def halves(data: bytes) -> list[Pixels]:
    """The two images of a thumbnail."""
    with Image.open(io.BytesIO(data)) as sheet:
        both = np.asarray(sheet.convert("RGB"))
    width = both.shape[0]
    return [both[:, :width], both[:, -width:]]


def test_the_gallery_shows_samples_in_their_order(pages: TestClient, samples: Rows, truth: dict[str, Pair]) -> None:
    page = pages.get("/gallery?stage=fine_tune_set").text
    cards = re.findall(r'<a class="card" href="/row/([0-9a-f]+)[^"]*">(.*?)</a>', page, re.DOTALL)
    assert {samples[key]["first"] for key, _ in cards} == {"source", "target"}
    assert any(samples[key]["erased_from"] for key, _ in cards)
    for key, card in cards:
        address = re.search(r'src="(/thumbnail/[^"]*)"', card)
        assert address is not None
        answer = pages.get(html.unescape(address[1]))
        assert "immutable" in answer.headers["cache-control"], "the address names this content"
        assert in_order(halves(answer.content), truth[key]), samples[key]
        assert card.count("<rect") == (2 if TASKS[samples[key]["task"]].marked else 0)
        assert html.escape(samples[key]["answer"][:30], quote=False) in html.unescape(card)


def test_the_report_shows_samples_in_their_order(
    asked_home: Home, asked_recipe: Recipe, samples: Rows, truth: dict[str, Pair], tmp_path: Path
) -> None:
    write_report(asked_home, asked_recipe, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    cards = re.findall(r"base64,([^\"]*)\".*?<code>([0-9a-f]+)</code>", page, re.DOTALL)
    shown = [(halves(base64.b64decode(data)), key) for data, key in cards if key in samples]
    assert {samples[key]["first"] for _, key in shown} == {"source", "target"}
    for images, key in shown:
        assert in_order(images, truth[key]), samples[key]


def test_the_sheet_in_dagster_shows_samples_in_their_order(
    asked_home: Home, samples: Rows, truth: dict[str, Pair]
) -> None:
    seen = Counter()
    for shard in SHARDS:
        markdown = kept_and_rejected(Ledger(asked_home.ledger), stage_named("fine_tune_set"), shard)["kept"]
        with Image.open(io.BytesIO(base64.b64decode(markdown.partition("base64,")[2].removesuffix(")")))) as sheet:
            pixels = np.asarray(sheet.convert("RGB"))
        for number, key in enumerate(sorted(key for key, row in samples.items() if row["shard"] == shard)[:SHOWN]):
            left = number * (2 * SIDE + GAP + GUTTER)
            images = [pixels[:SIDE, start : start + SIDE] for start in (left, left + SIDE + GAP)]
            assert in_order(images, truth[key]), samples[key]
            seen[samples[key]["first"]] += 1
    assert min(seen["source"], seen["target"]) > 0


def test_an_honest_reviewer_accepts_every_right_sample(
    asked_home: Home, asked_recipe: Recipe, looked_at: Rows, tmp_path: Path, drawn_models: Any
) -> None:
    """They look at the two pictures of the page, say in which they see what is asked for, and compare."""
    home = Home(Path(shutil.copytree(asked_home.root, tmp_path / "home")))
    # In no drawing is there a cube: the artist could not read the caption that asks for one.
    asked = {key: row for key, row in looked_at.items() if row["task"] == "which_image" and row["subject"] != "a cube"}
    with TestClient(create_app(Site(home, asked_recipe)), base_url="http://localhost:8080") as client:
        for key, row in asked.items():
            page = client.get(f"/review?reviewer=Ann&sample={key}").text
            images = images_of(client, page)
            if row["erased_from"]:
                # An outline is black, and no background is.
                x1, y1, x2, y2 = padded([row[name] for name in ("x1", "y1", "x2", "y2")], 0, 64, 64)
                seen = [bool((image[y1:y2, x1:x2].max(axis=2) < 60).any()) for image in images]
            else:
                scenes = [drawn_models.artist.drawn[pixel_hash(image)] for image in images]
                seen = [row["subject"].split()[-1] in {thing.name for thing in scene.objects} for scene in scenes]
            assert sum(seen) == 1, "it is in one of the two"
            verdict = "accept" if LETTERS[seen.index(True)] == said_on(page)[1] else "reject"
            form = {"reviewer": "Ann", "sample": key, "sample_id": key, "verdict": verdict}
            form["first"] = re.search(r'name="first" value="(\w+)"', page)[1]  # type: ignore[index]
            assert client.post("/review", data=form, headers=ORIGIN, follow_redirects=False).status_code == 303
    said = read_reviews(home).by_sample
    assert {said[key]["Ann"].verdict for key in asked} == {ACCEPT}
    assert {said[key]["Ann"].first for key in asked} == {"source", "target"}


@pytest.fixture
def before(asked_home: Home, tmp_path: Path) -> Home:
    """A home whose reviews.jsonl an earlier release wrote: its lines do not say which image was shown first."""
    home = Home(Path(shutil.copytree(asked_home.root, tmp_path / "home")))
    assert not home.reviews.exists()
    return home


def old_line(row: dict[str, Any], verdict: str) -> str:
    told = {name: row[name] for name in ("sample_id", "shard")}
    how = {"reviewer": "Ann", "note": "", "queue": "random", "score": "", "at": "2026-01-05T09:00:00+00:00"}
    return json.dumps({**told, **how, "verdict": verdict}) + "\n"


@pytest.mark.slow
def test_verdicts_of_images_shown_the_wrong_way_round_are_given_again(
    before: Home, asked_recipe: Recipe, samples: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    turned = sorted(key for key, row in samples.items() if row["first"] == "target")
    before.reviews.write_text(
        "".join(old_line(row, "reject" if key in turned else "accept") for key, row in samples.items()), "utf-8"
    )
    monkeypatch.setenv("IMGDIFF_HOME", str(before.root))
    told = CliRunner().invoke(main, ["certificate"]).output
    assert told.startswith("100.0% of")
    assert f"Left out: verdicts on {len(turned)} samples whose images" in told
    found = json.loads(CliRunner().invoke(main, ["certificate", "--json"]).output)
    assert found["misled"] == turned
    assert found["overall"]["reviewed"] == len(samples) - len(turned)
    assert verdicts_of_shard(before, SHARDS[0]).num_rows == sum(row["shard"] == SHARDS[0] for row in samples.values())

    with TestClient(create_app(Site(before, asked_recipe)), base_url="http://localhost:8080") as client:
        page = client.get("/certificate").text
        assert f"Left out are verdicts on {len(turned)} samples" in page
        assert all(f'href="/row/{key}"' in page for key in turned)
        for key in samples:
            told = "review again" in client.get(f"/row/{key}").text
            assert told is (key in turned)
        page = client.get("/review?reviewer=Bob").text
        assert "judge again" not in page, "he has never judged it"
        offered = []
        for _ in turned:
            page = client.get("/review?reviewer=Ann").text
            assert "was given when the page showed these images the wrong way round" in page
            assert 'aria-pressed="true"' not in page.partition('class="verdicts"')[2]
            form = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page))
            offered.append(form["sample_id"])
            client.post("/review", data={**form, "verdict": "accept"}, headers=ORIGIN, follow_redirects=False)
        assert offered == turned
        assert "Nothing left to review" in client.get("/review?reviewer=Ann").text
    found = json.loads(CliRunner().invoke(main, ["certificate", "--json"]).output)
    assert (found["misled"], found["overall"]["reviewed"]) == ([], len(samples))
    assert "Left out" not in CliRunner().invoke(main, ["certificate"]).output


def test_a_page_that_was_open_before_is_known_as_such(before: Home, asked_recipe: Recipe, samples: Rows) -> None:
    key = next(key for key, row in samples.items() if row["first"] == "target")
    form = {"reviewer": "Ann", "sample": key, "sample_id": key, "verdict": "reject"}
    with TestClient(create_app(Site(before, asked_recipe)), base_url="http://localhost:8080") as client:
        client.post("/review", data=form, headers=ORIGIN, follow_redirects=False)
        assert read_reviews(before).by_sample[key]["Ann"].misled("target")
        answer = client.post("/review", data={**form, "first": "source"}, headers=ORIGIN)
        assert (answer.status_code, "is not shown first" in answer.text) == (400, True)
        client.post("/review", data={**form, "verdict": "withdrawn"}, headers=ORIGIN, follow_redirects=False)
        assert not read_reviews(before).by_sample[key]["Ann"].misled("target"), "a verdict withdrawn says nothing"
