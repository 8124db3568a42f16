"""What is said on pages beside a verdict: corrections, tags, verdicts on many rows, views; and who says it."""

import html
import json
import re
from typing import Any
from urllib.parse import urlencode

from starlette.testclient import TestClient

from imgdiff_assets.browser.app import create_app
from imgdiff_assets.browser.people import COOKIE
from imgdiff_assets.browser.site import Site
from imgdiff_assets.ledger.corrections import counting, read_corrections
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.reviewers import add_reviewer, remove_reviewer
from imgdiff_assets.ledger.reviews import Review, add_review, read_reviews
from imgdiff_assets.ledger.tags import tags_by_row
from imgdiff_assets.ledger.views import views
from imgdiff_assets.lineage.lineage import lineage
from imgdiff_assets.lineage.lineage_text import to_text
from imgdiff_assets.reading.samples import read_samples
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import STAGE_NAMES

ORIGIN = {"origin": "http://localhost:8080"}
SHARD = "shard-000000"


def post(client: TestClient, to: str, /, **values: Any) -> Any:
    return client.post(to, content=urlencode(values, doseq=True), headers=ORIGIN, follow_redirects=False)


def a_sample(site: Site, where: str = "region_id IS NOT NULL AND erased_from IS NULL") -> dict[str, Any]:
    sql = f"SELECT * FROM fine_tune_set WHERE kept AND shard = '{SHARD}' AND {where} ORDER BY sample_id"
    return site.index.rows(sql)[0]


def fields_of(page: str) -> dict[str, str]:
    form = re.search(r'action="/correct">.*?</form>', page, re.DOTALL)
    assert form is not None
    found = re.findall(r'<input[^>]*name="(\w+)"[^>]*value="([^"]*)"', form[0])
    found += re.findall(r'<textarea name="(\w+)"[^>]*>([^<]*)</textarea>', form[0])
    return {name: html.unescape(value) for name, value in found}


def test_a_correction_is_beside_what_was_found_and_in_the_next_runs_sample(
    own_site: Site, own_client: TestClient, drawn_recipe: Recipe, run_stages: Any
) -> None:
    sample, ledger = a_sample(own_site), Ledger(own_site.home.ledger)
    made = [name for name in STAGE_NAMES if ledger.exists(name, SHARD)]
    tables = {name: ledger.read(name, SHARD).to_pylist() for name in made}
    address = f"/row/{sample['sample_id']}"
    values = {**fields_of(own_client.get(address).text), "reviewer": "Ann"}
    assert post(own_client, "/correct", **values).headers["location"] == address
    assert not read_corrections(own_site.home).values, "what is as it was is no correction"
    box = [float(values[name]) for name in ("x1", "y1", "x2", "y2")]
    moved = dict(zip(("x1", "y1", "x2", "y2"), [0, 0, box[2] + 1, box[3] + 1], strict=True))
    post(own_client, "/correct", **{**values, "difference_caption": "The left one is a boat.", **moved})
    (said,) = read_corrections(own_site.home).values
    assert (said.by, said.by_token, set(said.values)) == ("Ann", False, {"difference_caption", "box"})
    assert said.before["difference_caption"] == values["difference_caption"]
    assert "from the next run on" in own_client.get(address).text
    assert read_samples(ledger, SHARD), "until then all is as it was"
    run_stages(own_site.home, drawn_recipe, [SHARD], made[2:], run_id="run-2")

    def changed(name: str) -> list[Any]:
        rows = ledger.read(name, SHARD).to_pylist()
        before = {json.dumps(row, default=str) for row in tables[name]}
        return [row for row in rows if json.dumps(row, default=str) not in before]

    assert {name for name in made if changed(name)} == {"captions", "fine_tune_set"}
    (region,) = changed("captions")
    assert region["region_id"] == sample["region_id"]
    assert [region[name] for name in moved] == list(moved.values())
    assert region["run_id"] == "run-2", "it was captioned again where the box is now"
    (now,) = changed("fine_tune_set")
    assert now["conversations"][1]["value"] == "The left one is a boat."
    assert [now[name] for name in moved] == list(moved.values())
    own_site.index.refresh(at_once=True)
    told = to_text(lineage(own_site.home, drawn_recipe, now["sample_id"]))
    assert "corrected, difference_caption: " in told
    assert "→ The left one is a boat. (by Ann, " in told
    assert "next run" not in told
    assert f'x="{moved["x1"]:.1f}"' in own_client.get(f"/row/{now['sample_id']}").text


def test_a_region_caption_that_is_corrected_is_what_the_set_says(
    own_site: Site, own_client: TestClient, task_recipe: Recipe, run_stages: Any
) -> None:
    """In the tasks that ask about it, without the scores that other words had; and taken back it is as before."""
    ledger = Ledger(own_site.home.ledger)
    run_stages(own_site.home, task_recipe, [SHARD], ["captions", "fine_tune_set"])
    before = ledger.read("fine_tune_set", SHARD)
    sample = a_sample(own_site)
    values = fields_of(own_client.get(f"/row/{sample['sample_id']}").text)
    post(own_client, "/correct", **{**values, "source_region_caption": "A purple boat.", "reviewer": "Ann"})
    run_stages(own_site.home, task_recipe, [SHARD], ["captions", "fine_tune_set"], run_id="run-2")
    rows = [row for row in ledger.read("fine_tune_set", SHARD).to_pylist() if row["region_id"] == sample["region_id"]]
    asked = [row for row in rows if row["task"] == "which_image" and "purple boat" in row["subject"]]
    about = [row for row in rows if row["task"] == "which_image"]
    assert {row["match_margin"] for row in asked} <= {None}
    assert len(asked) == sum(row["about"] == "source" for row in about)
    assert any("a purple boat" in str(row["conversations"]) for row in rows)
    assert {
        row.source_region_caption for row in read_samples(ledger, SHARD) if row.region_id == sample["region_id"]
    } == {"A purple boat."}
    post(own_client, "/correct", **{**values, "source_region_caption": "", "reviewer": "Ann"})
    assert counting(own_site.home) == {}
    run_stages(own_site.home, task_recipe, [SHARD], ["captions", "fine_tune_set"], run_id="run-3")
    assert ledger.read("fine_tune_set", SHARD).select(["sample_id", "answer"]) == before.select(
        ["sample_id", "answer"]
    )


def test_what_cannot_be_a_correction_is_refused(own_site: Site, own_client: TestClient) -> None:
    values = {**fields_of(own_client.get(f"/row/{a_sample(own_site)['sample_id']}").text), "reviewer": "Ann"}
    for change, words in (
        ({"region_id": "0123456789abcdef"}, "no such region"),
        ({"x1": "9", "x2": "3"}, "within"),
        ({"x2": "1e9"}, "within"),
        ({"y1": "nan"}, "within"),
        ({"y1": "one"}, "four numbers"),
        ({"difference_caption": "x" * 2001}, "2,000"),
        ({"difference_caption": "<image>"}, "token of a chat template"),
        ({"source_region_caption": "a\u202edog"}, "steer a screen"),
        ({"difference_caption": "Another.", "reviewer": "x" * 61}, "1 to 60"),
    ):
        answer = post(own_client, "/correct", **{**values, **change})
        assert (answer.status_code, words in answer.text) == (400, True), change
    assert not own_site.home.journals.exists()


def test_how_a_text_is_laid_out_is_no_correction(own_site: Site, own_client: TestClient) -> None:
    values = {**fields_of(own_client.get(f"/row/{a_sample(own_site)['sample_id']}").text), "reviewer": "Ann"}
    laid_out = values["difference_caption"].replace(" ", "\r\n", 1) + "  "
    assert post(own_client, "/correct", **{**values, "difference_caption": laid_out}).status_code == 303
    assert not read_corrections(own_site.home).values
    post(own_client, "/correct", **{**values, "difference_caption": "Of two\r\nlines."})
    (said,) = read_corrections(own_site.home).values
    assert said.values == {"difference_caption": "Of two lines."}


def test_many_rows_at_once_and_each_keeps_its_note(own_site: Site, own_client: TestClient) -> None:
    page = own_client.get("/gallery").text
    ids = re.findall(r'name="id" value="(\w+)"', page)
    shard, pair = own_site.index.rows("SELECT shard, pair_id FROM fine_tune_set WHERE sample_id = ?", [ids[0]])[
        0
    ].values()
    add_review(own_site.home, Review(ids[0], shard, "Ann", "accept", note="look at the shadow"))
    form = {"q.stage": "fine_tune_set", "id": ids[:2], "verdict": "reject", "reason": "other"}
    answer = post(own_client, "/rows", **form, reviewer="Ann")
    assert answer.status_code == 303
    said = read_reviews(own_site.home).by_sample
    assert [(said[name]["Ann"].verdict, said[name]["Ann"].reason) for name in ids[:2]] == [("reject", "other")] * 2
    assert said[ids[0]]["Ann"].note == "look at the shadow"
    assert (said[ids[0]]["Ann"].pair_id, said[ids[0]]["Ann"].queue) == (pair, "chosen")
    post(own_client, "/rows", **{"q.stage": "fine_tune_set", "every": "1", "verdict": "withdrawn"}, reviewer="Ann")
    said = read_reviews(own_site.home).by_sample
    assert said.keys() == set(ids[:2]), "what has no verdict has none to take back"
    assert {said[name]["Ann"].verdict for name in ids[:2]} == {"withdrawn"}
    assert (said[ids[0]]["Ann"].note, said[ids[0]]["Ann"].reason) == ("look at the shadow", "other")


def test_a_tag_finds_its_rows_again(own_site: Site, own_client: TestClient) -> None:
    regions = [row["region_id"] for row in own_site.index.rows("SELECT region_id FROM bounding_boxes LIMIT 3")]
    values = {"q.stage": "bounding_boxes", "q.verdict": "all", "id": regions, "tag": "blurred", "reviewer": "Ann"}
    address = post(own_client, "/rows", **values).headers["location"]
    assert address == "/gallery?stage=bounding_boxes&verdict=all"
    assert '<span class="tag own">blurred</span>' in own_client.get(address).text
    found = own_client.get("/gallery?stage=bounding_boxes&verdict=all&tag=blurred").text
    assert set(re.findall(r'name="id" value="(\w+)"', found)) == set(regions)
    post(own_client, "/rows", **{**values, "id": regions[:1], "untag": "1"})
    assert tags_by_row(own_site.home) == {name: ["blurred"] for name in sorted(regions[1:])}
    assert post(own_client, "/rows", **{**values, "id": "0123456789abcdef"}).status_code == 400
    assert post(own_client, "/rows", **{**values, "tag": "", "verdict": "accept"}).status_code == 400, (
        "of samples only"
    )
    assert "a verdict or a tag is missing" in post(own_client, "/rows", **{**values, "tag": " "}).text
    assert "1 to 60" in post(own_client, "/rows", **{**values, "reviewer": "A\x1bnn"}).text


def test_a_view_is_kept_and_forgotten(own_site: Site, own_client: TestClient) -> None:
    address = "/gallery?stage=captions&verdict=all"
    answer = post(own_client, "/views", name="<b>mine</b>", address=address, back=address, reviewer="Ann")
    assert answer.headers["location"] == address
    assert f'<a href="{html.escape(address)}" aria-current="true"><bdi>&lt;b&gt;mine' in own_client.get(address).text
    assert post(own_client, "/views", name="x", address="//elsewhere.example/", reviewer="Ann").status_code == 400
    assert post(own_client, "/views", name="x", address="javascript:alert(1)", reviewer="Ann").status_code == 400
    answer = post(own_client, "/views", name="<b>mine</b>", forgotten="1", back="//elsewhere.example/", reviewer="Ann")
    assert answer.headers["location"] == "/gallery"
    assert views(own_site.home) == {}


def test_with_tokens_nobody_reviews_under_another_name(own_site: Site) -> None:
    ann, bob = add_reviewer(own_site.home, "Ann"), add_reviewer(own_site.home, "Bob")
    sample = a_sample(own_site)
    verdict = {"sample_id": sample["sample_id"], "verdict": "accept"}
    with TestClient(create_app(own_site), base_url="http://localhost:8080") as client:
        assert "Your token" in client.get("/review?reviewer=Ann").text
        assert post(client, "/review", **verdict, reviewer="Ann").status_code == 403
        assert post(client, "/reviewer", token="guessed").status_code == 403
        answer = post(client, "/reviewer", token=ann)
        assert answer.headers["location"] == "/review"
        assert all(word in answer.headers["set-cookie"] for word in ("HttpOnly", "SameSite=strict"))
        assert "You are <b>Ann</b>" in client.get("/review").text
        for address in ("/review", "/rows", "/views", "/correct"):
            values = {**verdict, "q.stage": "fine_tune_set", "id": sample["sample_id"], "name": "x", "address": "/map"}
            values |= {"region_id": sample["region_id"], "difference_caption": "Another."}
            assert post(client, address, **values, reviewer="Bob").status_code == 403, address
        assert not own_site.home.reviews.exists()
        assert post(client, "/review", **verdict).status_code == 303
        (said,) = read_reviews(own_site.home).by_sample[sample["sample_id"]].values()
        assert (said.reviewer, said.by_token) == ("Ann", True)
        remove_reviewer(own_site.home, "Ann")
        assert post(client, "/review", **verdict).status_code == 403
        client.cookies.set(COOKIE, bob, domain="localhost.local")
        assert "You are <b>Bob</b>" in client.get("/review").text


def test_without_tokens_the_page_says_that_names_are_on_trust(own_client: TestClient) -> None:
    assert "Names are taken on trust" in own_client.get("/review").text


def test_each_reviewer_gets_their_own_and_some_get_the_same(own_site: Site) -> None:
    tokens = {name: add_reviewer(own_site.home, name) for name in ("Ann", "Bob")}
    recipe = own_site.recipe.model_copy(update={"review": own_site.recipe.review.model_copy(update={"overlap": 0.3})})
    site, got = Site(own_site.home, recipe), {}
    for name, token in tokens.items():
        with TestClient(create_app(site), base_url="http://localhost:8080") as client:
            post(client, "/reviewer", token=token)
            got[name], address = set(), "/review?own=1&reviewer=" + name
            while (found := re.search(r'name="sample_id" value="(\w+)"', page := client.get(address).text)) and (
                "Nothing left" not in page
            ):
                judged = re.search(r"([\d,]+) of ([\d,]+) judged", page)
                assert judged is not None
                assert int(judged[1]) == len(got[name]) < int(judged[2])
                got[name].add(found[1])
                form = {"sample_id": found[1], "verdict": "accept", "reviewer": name, "own": "1"}
                address = post(client, "/review", **form).headers["location"]
    samples = {row["sample_id"] for row in site.index.rows("SELECT sample_id FROM fine_tune_set WHERE kept")}
    assert got["Ann"] | got["Bob"] == samples
    assert samples > got["Ann"] != got["Bob"]
