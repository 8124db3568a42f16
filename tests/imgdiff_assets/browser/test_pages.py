"""Every page of a small home: what it says, where it leads, and that no text of the ledger becomes markup."""

import re
import shutil
import threading
from collections import deque
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any
from urllib.parse import quote

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from imgdiff_assets.browser.app import STATIC, create_app
from imgdiff_assets.browser.site import Site
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.ingest_captions import ingest
from imgdiff_assets.ingest.shards import read_captions
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.method.caption_edit import marked
from imgdiff_assets.recipe.overrides import override_recipe
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import COMMON_NAMES as STAGE_NAMES
from imgdiff_assets.stages.graph import COMMON_STAGES as STAGES
from imgdiff_assets.stages.graph import stage_named
from imgdiff_assets.what_if.what_if import WhatIf, what_if

MARKUP = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</title></style></textarea><svg/onload=alert(1)>",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:alert(1)",
    "&lt;b&gt; \u202eevil",
)
TEXTS = (
    *(f"{side}_{what}" for side in ("source", "target") for what in ("caption", "object", "region_caption")),
    *("answer", "difference_caption", "task", "split", "found_in", "run_id", "error"),
)


@pytest.mark.parametrize("count", [50, pytest.param(150, marks=pytest.mark.slow)])
def test_no_address_leads_nowhere(client: TestClient, links: Callable[[str], list[str]], count: int) -> None:
    """The links and images of the first pages, from the first one on."""
    seen, ahead = set(), deque(["/"])
    while ahead and len(seen) < count:
        address = ahead.popleft()
        if address in seen or not address.startswith("/"):
            continue
        seen.add(address)
        answer = client.get(address)
        assert answer.status_code == 200, address
        if "text/html" in answer.headers["content-type"]:
            ahead += links(answer.text)
    assert {address.split("/")[1].partition("?")[0] for address in seen} >= {"gallery", "review", "shards", "static"}


def test_below_another_root_every_address_is_below_it(seen_home: Home, seen_recipe: Recipe) -> None:
    """Of one page, form, picture and redirect of each kind; but for those of Dagster, which has the server's root."""
    site = Site(seen_home, seen_recipe, dagster_url="", root="/samples")
    statuses: dict[str, int] = {}
    outside = set()
    first_of_kind = {"": "/samples/"}
    with TestClient(
        Starlette(routes=[Mount("/samples", create_app(site))]), base_url="http://localhost:8080"
    ) as client:
        while ahead := first_of_kind.keys() - statuses:
            kind = ahead.pop()
            answer = client.get(first_of_kind[kind])
            statuses[kind] = answer.status_code
            for address in re.findall(r'(?:href|src|action)="(/[^"]*)"', answer.text):
                root, kind = re.split("[/?]", address)[1:3] if address.count("/") > 1 else (address, "")
                if root == "samples":
                    first_of_kind.setdefault(kind, address.replace("&amp;", "&"))
                else:
                    outside.add(root)
        sample = site.index.rows("SELECT sample_id FROM fine_tune_set LIMIT 1")[0]["sample_id"]
        redirect = client.get("/samples/find", params={"id": sample}, follow_redirects=False)
    pages = (
        "",
        "gallery",
        "map",
        "row",
        "review",
        "certificate",
        "shards",
        "static",
        "thumbnail",
        "image",
    )
    forms = dict.fromkeys(("rows", "views", "correct"), 405)
    assert statuses == {**dict.fromkeys(pages, 200), "find": 404, **forms}, "nothing is looked for, nothing is said"
    assert redirect.headers["location"] == f"/samples/row/{sample}"
    assert outside == {"runs", "assets"}


def test_every_address_in_a_template_begins_with_the_root() -> None:
    for template in (STATIC.parent / "templates").iterdir():
        assert not re.findall(r'(?:href|src|action)="/', template.read_text(encoding="utf-8")), template.name


@pytest.mark.parametrize("stage", STAGE_NAMES)
@pytest.mark.parametrize("every", [5, pytest.param(1, marks=pytest.mark.slow)])
def test_the_story_of_every_row(client: TestClient, ids: dict[str, list[str]], stage: str, every: int) -> None:
    """Or of every fifth one."""
    for identity in ids[stage][::every]:
        answer = client.get(f"/row/{identity}")
        assert answer.status_code == 200
        assert identity in answer.text
        assert f"imgdiff lineage {identity}" in answer.text


def test_a_story_tells_scores_chain_models_and_links(site: Site, client: TestClient) -> None:
    sample = site.index.rows("SELECT * FROM fine_tune_set WHERE kept AND erased_from IS NULL ORDER BY sample_id")[0]
    page = client.get(f"/row/{sample['sample_id']}").text
    for name in ("caption", *STAGE_NAMES[:5], "fine_tune_set"):
        assert f"<h3>{name} <code>" in page
    record = Ledger(site.home.ledger).record("image_pairs", sample["shard"]) or {}
    pair = site.index.rows("SELECT * FROM image_pairs WHERE pair_id = ?", [sample["pair_id"]])[0]
    for text in (
        f"<bdi>{pair['seed']}</bdi>",
        record["recipe_hash"],
        record["models"]["pair_generator"]["weights"],
        "http://dagster.example:3000/runs/run-1",
        f"http://dagster.example:3000/assets/image_pairs?view=partitions&amp;partition={sample['shard']}",
        f"imgdiff replay {sample['sample_id']}",
        "imgdiff what-if --set ",
        "below 0.97",
        "at least 0.5",
    ):
        assert text in page, text
    siblings = site.index.rows("SELECT region_id FROM bounding_boxes WHERE pair_id = ?", [sample["pair_id"]])
    for row in siblings:
        assert page.count(f'data-region="{row["region_id"]}"') in (0, 3), "in both images and in the list"


@pytest.mark.parametrize(
    ("stage", "reason"),
    [("filtered_pairs", "too_different"), ("bounding_boxes", "too_small"), ("bounding_boxes", "object_not_seen")],
)
def test_the_what_if_command_lets_a_rejected_row_by(site: Site, client: TestClient, stage: str, reason: str) -> None:
    name = stage_named(stage).id_column
    row = site.index.rows(f"SELECT {name} AS id FROM {stage} WHERE rejected_by = '{reason}' ORDER BY id")[0]
    change = suggested(site, client, row["id"]).stages[STAGE_NAMES.index(stage)]
    assert change.then.rejected[reason] < change.present.rejected[reason]


@pytest.mark.parametrize("every", [4, pytest.param(1, marks=pytest.mark.slow)])
def test_the_what_if_command_drops_a_kept_sample(site: Site, client: TestClient, every: int) -> None:
    for row in site.index.rows("SELECT sample_id AS id FROM fine_tune_set WHERE kept ORDER BY id")[::every]:
        change = suggested(site, client, row["id"]).stages[-1]
        assert change.then.kept < change.present.kept


def suggested(site: Site, client: TestClient, identity: str) -> WhatIf:
    """What the command on a row's page says."""
    found = re.search(r"imgdiff what-if --set ([^<\s]+)<", client.get(f"/row/{identity}").text)
    assert found is not None
    return what_if(site.home, override_recipe(site.recipe, [found[1]]), site.index.shards())


def test_spaces_stay_between_what_is_put_together(
    own_site: Site, own_client: TestClient, drawn_recipe: Recipe, run_stages: Any
) -> None:
    sample = own_site.index.rows("SELECT * FROM fine_tune_set WHERE kept ORDER BY sample_id")[0]
    pair = own_site.index.rows("SELECT * FROM prompt_pairs WHERE pair_id = ?", [sample["pair_id"]])[0]
    page = own_client.get(f"/row/{sample['sample_id']}").text
    texts = [re.sub("<[^>]*>", "", text) for text in re.findall(r"<dd>(<bdi>.*?</bdi>)</dd>", page)]
    assert {pair["source_caption"], pair["target_caption"]} <= set(texts)
    stricter = override_recipe(drawn_recipe, ["filtered_pairs.min_similarity=0.99"])
    run_stages(own_site.home, stricter, ["shard-000000"], ["filtered_pairs"], "run-2")
    own_site.index.refresh(at_once=True)
    points = re.search(r'<polyline class="line" points="([^"]*)"', own_client.get("/").text)
    assert points is not None
    assert [len(point.split(",")) for point in points[1].split()] == [2, 2]


def test_words_that_differ_are_marked() -> None:
    source, target = marked("A red Ball on the grass.", "a red tall cup on the grass")
    assert source == [("A red", False), ("Ball", True), ("on the grass.", False)]
    assert target == [("a red", False), ("tall cup", True), ("on the grass", False)]
    assert marked("", "") == ([], [])


@pytest.fixture
def hostile(own_home: Home, drawn_recipe: Recipe, tmp_path: Any, run_stages: Any, commit_rows: Any) -> TestClient:
    """Captions, answers, reasons and reviews that are markup."""
    file = tmp_path / "hostile.txt"
    file.write_text("\n".join(f"a red ball {text} on the grass" for text in MARKUP), encoding="utf-8")
    ingest([file], own_home)
    shard = "shard-000003"
    run_stages(
        own_home,
        drawn_recipe.model_copy(
            update={
                "prompt_pairs": drawn_recipe.prompt_pairs.model_copy(
                    update={"known_words": [], "max_object_words": 60}
                )
            }
        ),
        [shard],
        STAGE_NAMES,
    )
    ledger = Ledger(own_home.ledger)
    for name in ("captions", "fine_tune_set", "bounding_boxes", "prompt_pairs"):
        stage = stage_named(name)
        rows = ledger.read(name, shard, stage.schema).to_pylist()
        for number, row in enumerate(rows):
            text = MARKUP[number % len(MARKUP)]
            for column in stage.schema:
                if str(column.type) == "string" and not column.name.endswith(
                    ("_id", "_hash", "_fingerprint", "review", "rejected_by")
                ):
                    row[column.name] = text
            if row.get("conversations"):
                row["conversations"] = [{"from": text, "value": text}]
            if number % 2:
                row |= {"kept": False, "rejected_by": f"error:{text}", "error": text}
        record = {
            **(ledger.record(name, shard) or {}),
            "recipe": MARKUP[0],
            "run_id": MARKUP[1],
            "models": {MARKUP[0]: {"model": MARKUP[1], "weights": MARKUP[2]}},
        }
        commit_rows(ledger, name, shard, rows, record=record)
    return TestClient(create_app(Site(own_home, drawn_recipe)), base_url="http://localhost:8080")


def test_nothing_of_the_ledger_becomes_markup(hostile: TestClient) -> None:
    site: Site = hostile.app.state.site  # type: ignore[attr-defined]
    addresses = ["/", "/?shard=shard-000003", "/shards", "/certificate", "/review?reviewer=" + quote(MARKUP[1])]
    for stage in STAGES:
        addresses.append(f"/gallery?stage={stage.name}&verdict=all&shard=shard-000003")
        rows = site.index.rows(
            f"SELECT {stage.id_column} AS id FROM {stage.name} WHERE shard = 'shard-000003' LIMIT 3"
        )
        addresses += [f"/row/{row['id']}" for row in rows]
    fields = ("shard", "object", "reason", "stage", "score")
    addresses += [f"/gallery?{name}={quote(text)}" for name, text in zip(fields * 2, MARKUP, strict=False)]
    addresses += [f"/find?id={quote(text)}" for text in MARKUP] + [f"/row/{quote(text, safe='')}" for text in MARKUP]
    shown = 0
    for address in addresses:
        page = hostile.get(address).text
        shown += "alert(1)" in page
        assert "\u202e" not in page
        for tag, attributes in Elements.of(page):
            assert tag in TAGS, (address, tag)
            assert not [name for name in attributes if name.startswith("on") or name == "style"], address
            assert tag != "script" or attributes["src"].startswith("/static/")
            for name in ("href", "src", "action"):
                assert str(attributes.get(name, "/")).startswith(("/", "#")), (address, attributes[name])
    assert shown > 20


TAGS = frozenset(
    """html head meta title link script body a header nav form input kbd button main h1 h2 h3 p code b span
    div ul ol li dl dt dd dialog bdi mark svg rect line text polyline circle img figure figcaption section
    article table thead tbody tr th td label select option details summary pre datalist fieldset legend
    textarea canvas""".split()  # noqa: SIM905
)


class Elements(HTMLParser):
    """The elements of a page, as a browser sees them."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    @classmethod
    def of(cls, page: str) -> list[tuple[str, dict[str, str | None]]]:
        parser = cls()
        parser.feed(page)
        return parser.found


@pytest.mark.parametrize(
    "address",
    ["/row/0123456789abcdef", "/row/xyz", "/row/..%2f..", "/find?id=0123456789abcdef", "/find?id=", "/nothing"],
)
def test_what_is_not_there_is_said(client: TestClient, address: str) -> None:
    answer = client.get(address)
    assert answer.status_code == 404
    assert "Not found" in answer.text
    assert "Traceback" not in answer.text


@pytest.mark.parametrize(
    "address", ["/gallery?stage=x", "/gallery?low=x", "/?shard=../..", "/certificate?score=x", "/review?queue=x"]
)
def test_what_cannot_be_asked_is_a_400(client: TestClient, address: str) -> None:
    assert client.get(address).status_code == 400


def test_an_id_is_found_by_its_beginning(client: TestClient, ids: dict[str, list[str]], site: Site) -> None:
    for identity in (ids["fine_tune_set"][0], ids["bounding_boxes"][0], ids["prompt_pairs"][0]):
        answer = client.get(f"/find?id={identity[:8]}", follow_redirects=False)
        assert (answer.status_code, answer.headers["location"]) == (303, f"/row/{identity}")
    waiting = read_captions(site.home, "shard-000002").to_pylist()[0]
    answer = client.get(f"/find?id={waiting['caption_id'][:8]}")
    assert answer.status_code == 200
    assert waiting["caption"] in answer.text


def test_stages_that_are_not_made_yet_say_so(own_home: Home, drawn_recipe: Recipe) -> None:
    for name in STAGE_NAMES[::-1]:
        shutil.rmtree(own_home.ledger / name)
        with TestClient(create_app(Site(own_home, drawn_recipe)), base_url="http://localhost") as client:
            assert "Not made yet." in client.get("/").text
            for address in ("/shards", "/certificate", "/review?reviewer=Ann", f"/gallery?stage={name}"):
                assert client.get(address).status_code == 200, (name, address)


def test_a_certificate_by_a_score_that_no_sample_has_says_so(own_client: TestClient) -> None:
    answer = own_client.get("/certificate?score=removed_pairs.rank")
    assert (answer.status_code, "No sample has the score removed_pairs.rank." in answer.text) == (200, True)


def test_no_page_needs_the_table_of_another_stage(own_home: Home, drawn_recipe: Recipe) -> None:
    """Tables may be taken away by hand, or a copy of a home be half of one."""
    aside = own_home.root / "aside"
    for number, gone in enumerate(STAGE_NAMES):
        (own_home.ledger / gone).rename(aside)
        with TestClient(create_app(Site(own_home, drawn_recipe)), base_url="http://localhost") as client:
            pages = [f"/gallery?stage={name}" for name in STAGE_NAMES[number:]]
            assert {page: client.get(page).status_code for page in pages} == dict.fromkeys(pages, 200), gone
        aside.rename(own_home.ledger / gone)


def test_a_damaged_table_is_named_on_the_page(own_site: Site, own_client: TestClient) -> None:
    path = Ledger(own_site.home.ledger).table_path("captions", "shard-000000")
    path.write_bytes(path.read_bytes()[:100])
    page = own_client.get("/").text
    assert "captions of shard-000000 cannot be read" in page


@pytest.mark.parametrize("pause", [0.05, pytest.param(0.0, marks=pytest.mark.long)])
def test_pages_are_whole_while_a_run_replaces_the_tables(
    own_site: Site, own_client: TestClient, monkeypatch: pytest.MonkeyPatch, commit_rows: Any, pause: float
) -> None:
    """Another thread commits, truncates and removes tables with hardly a pause, or none; no page fails."""
    monkeypatch.setattr("imgdiff_assets.browser.index.SECONDS_BETWEEN_LOOKS", 0.0)
    ledger, shard = Ledger(own_site.home.ledger), "shard-000000"
    tables = {
        stage.name: (ledger.read(stage.name, shard, stage.schema).to_pylist(), ledger.record(stage.name, shard) or {})
        for stage in STAGES
        if stage.name != "image_pairs"
    }
    sample = own_site.index.rows(f"SELECT sample_id, pair_id FROM fine_tune_set WHERE shard = '{shard}'")[0]
    stop = threading.Event()
    rounds = 0

    def run() -> None:
        nonlocal rounds
        while not stop.is_set():
            for name, (rows, record) in tables.items():
                kept = rows[rounds % 3 :]
                commit_rows(ledger, name, shard, kept, record=record)
                path = ledger.table_path(name, shard)
                if rounds % 3 == 2:
                    path.write_bytes(path.read_bytes()[:50])
                    path.unlink()
                stop.wait(pause)
            rounds += 1

    thread = threading.Thread(target=run)
    thread.start()
    try:
        while rounds < 3 and thread.is_alive():
            for address in (
                "/",
                "/shards",
                "/gallery?verdict=all",
                "/gallery?stage=bounding_boxes&verdict=all&sort=filtered_pairs.image_similarity",
                f"/row/{sample['sample_id']}",
                f"/row/{sample['pair_id']}",
                f"/image/{sample['pair_id']}/source",
                "/review?reviewer=Ann",
                "/certificate",
            ):
                assert own_client.get(address).status_code in (200, 404, 400), address
    finally:
        stop.set()
        thread.join()
    assert rounds > 2
