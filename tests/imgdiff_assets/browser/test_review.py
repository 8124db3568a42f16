"""Reviewing through the pages: what is written, in which order samples come, and that nothing else is written."""

import html
import json
import re
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from starlette.testclient import TestClient

from imgdiff_assets.browser.samples import coming, in_order, sample_scores
from imgdiff_assets.browser.site import Site
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.statistics.funnel import funnel

ORIGIN = {"origin": "http://localhost:8080"}


def fields(page: str) -> dict[str, str]:
    """The hidden fields of the first form that gives a verdict."""
    form = re.search(r'<form method="post" action="[^"]*/review".*?</form>', page, re.DOTALL)
    assert form is not None
    found = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', form[0])
    return {name: html.unescape(value) for name, value in found}


def say(client: TestClient, verdict: str, address: str = "/review?reviewer=Ann", note: str = "") -> tuple[str, str]:
    """Give a verdict as the form does; returns the sample and the address that follows."""
    values = fields(client.get(address).text)
    body = urlencode({**values, "verdict": verdict, "note": note})
    answer = client.post("/review", content=body, headers=ORIGIN, follow_redirects=False)
    assert answer.status_code == 303
    return values["sample_id"], answer.headers["location"]


def lines(site: Site) -> list[dict[str, Any]]:
    return [json.loads(line) for line in site.home.reviews.read_text(encoding="utf-8").splitlines()]


def test_one_after_another_until_none_is_left(own_site: Site, own_client: TestClient) -> None:
    address, seen = "/review?reviewer=Ann", []
    for number in range(len(sample_scores(own_site.index, "captions.match"))):
        sample, address = say(own_client, "reject" if number % 3 == 0 else "accept", address, note='näh; "quoted"')
        seen.append(sample)
    assert seen == sorted(seen), "ids are hashes, so their order is a random one"
    assert "Nothing left to review" in own_client.get(address).text
    stored = lines(own_site)
    assert [line["sample_id"] for line in stored] == seen
    assert {(line["reviewer"], line["queue"], line["note"]) for line in stored} == {("Ann", "random", 'näh; "quoted"')}
    shards = {
        row["sample_id"]: row["shard"] for row in own_site.index.rows("SELECT sample_id, shard FROM fine_tune_set")
    }
    assert all(line["shard"] == shards[line["sample_id"]] for line in stored)


def test_another_reviewer_gets_the_same_order(own_client: TestClient) -> None:
    first = [say(own_client, "accept")[0] for _ in range(3)]
    assert [say(own_client, "reject", "/review?reviewer=Bob")[0] for _ in range(3)] == first
    page = own_client.get("/certificate").text
    assert "Ann and Bob" in page
    assert "0.0 %" in page


def test_undo_brings_the_sample_back(own_site: Site, own_client: TestClient) -> None:
    sample, address = say(own_client, "reject")
    page = own_client.get(address).text
    undo = re.search(r'class="undo".*?</form>', page, re.DOTALL)
    assert undo is not None
    values = dict(re.findall(r'name="(\w+)" value="([^"]*)"', undo[0]))
    assert values["sample_id"] == sample
    body = urlencode({**values, "verdict": "withdrawn"})
    back = own_client.post("/review", content=body, headers=ORIGIN, follow_redirects=False).headers["location"]
    assert fields(own_client.get(back).text)["sample_id"] == sample
    assert [line["verdict"] for line in lines(own_site)] == ["reject", "withdrawn"]


def test_what_was_not_said_is_not_taken_back(own_site: Site, own_client: TestClient) -> None:
    """As by a page that another tab has overtaken."""
    sample, _ = say(own_client, "reject")
    form = {**fields(own_client.get("/review?reviewer=Bob").text), "verdict": "withdrawn", "sample_id": sample}
    assert own_client.post("/review", content=urlencode(form), headers=ORIGIN).status_code == 200
    for _ in range(2):
        own_client.post("/review", content=urlencode({**form, "reviewer": "Ann"}), headers=ORIGIN)
    said = [(line["reviewer"], line["verdict"]) for line in lines(own_site)]
    assert said == [("Ann", "reject"), ("Ann", "withdrawn")]


def test_a_reason_rejects_and_undoing_it_says_so(own_site: Site, own_client: TestClient) -> None:
    values = fields(own_client.get("/review?reviewer=Ann").text)
    body = urlencode({**values, "reason": "wrong side", "note": "it is the left one"})
    address = own_client.post("/review", content=body, headers=ORIGIN, follow_redirects=False).headers["location"]
    page = own_client.get(address).text
    assert "Rejected as <bdi>wrong side</bdi>" in page
    undo = re.search(r'class="undo".*?</form>', page, re.DOTALL)
    assert undo is not None
    body = urlencode({**dict(re.findall(r'name="(\w+)" value="([^"]*)"', undo[0])), "verdict": "withdrawn"})
    address = own_client.post("/review", content=body, headers=ORIGIN, follow_redirects=False).headers["location"]
    page = own_client.get(address).text
    assert "was rejected as <bdi>wrong side</bdi>, with the note <bdi>it is the left one</bdi>" in page
    assert 'value="it is the left one"' in page, "nobody types it again"
    told = [(line["verdict"], line["reason"], line["note"]) for line in lines(own_site)]
    assert told == [(verdict, "wrong side", "it is the left one") for verdict in ("reject", "withdrawn")]


def test_what_is_skipped_comes_again_at_the_end(own_site: Site, own_client: TestClient) -> None:
    total = len(sample_scores(own_site.index, "captions.match"))
    page = own_client.get("/review?reviewer=Ann").text
    skipped = fields(page)["sample_id"]
    skip = re.search(r'href="([^"]*)" aria-keyshortcuts="k"', page)
    assert skip is not None
    address, seen = html.unescape(skip[1]), []
    for _ in range(total):
        sample, address = say(own_client, "accept", address)
        seen.append(sample)
    assert seen[-1] == skipped
    assert len(set(seen)) == total
    assert not any(line["verdict"] == "skipped" for line in lines(own_site))


def test_what_is_passed_over_does_not_come_and_what_was_skipped_comes_last() -> None:
    assert list(coming("abcdef", {"a"}, {"d", "e"})) == ["b", "c", "f"]
    assert list(coming("abcdef", {"a"}, {"d", "e"}, after="c")) == ["f", "b", "c"]
    assert list(coming("abcdef", set(), after="gone")) == list("abcdef")


def test_what_comes_next_is_named_so_that_its_pictures_can_be_fetched(own_client: TestClient) -> None:
    page = own_client.get("/review?reviewer=Ann").text
    ahead = re.findall(r'data-ahead="([^"]*)"', page)
    _, address = say(own_client, "accept")
    after = own_client.get(address).text
    assert len(ahead) == 2
    assert ahead == re.findall(r'<img src="([^"]*)"', after)
    for picture in ahead:
        assert "immutable" in own_client.get(picture).headers["cache-control"]


def test_doubtful_samples_are_those_near_the_threshold(own_site: Site, own_client: TestClient) -> None:
    scores = {"a": 0.9, "b": 0.52, "c": 0.45, "d": float("nan"), "e": 0.1}
    assert in_order(scores, "doubt", threshold=0.5) == ["b", "c", "a", "e", "d"]
    say(own_client, "accept", "/review?reviewer=Ann&queue=doubt")
    assert (lines(own_site)[0]["queue"], lines(own_site)[0]["score"]) == ("doubt", "captions.match")
    assert "Nobody has reviewed yet" in own_client.get("/certificate").text, "doubtful ones tell nothing of others"


def test_progress_is_told_by_reviewer(own_client: TestClient) -> None:
    for reviewer, verdict in (("Ann", "accept"), ("Ann", "reject"), ("Bob", "accept")):
        say(own_client, verdict, f"/review?reviewer={reviewer}")
    page = own_client.get("/review").text
    rows = re.findall(r'<bdi>(\w+)</bdi></th><td class="figure">(\d+)</td><td class="figure">(\d+)</td>', page)
    assert rows == [("Ann", "2", "1"), ("Bob", "1", "1")]


def test_a_chosen_sample_is_recorded_as_chosen(own_site: Site, own_client: TestClient) -> None:
    sample = own_site.index.rows("SELECT sample_id FROM fine_tune_set WHERE kept ORDER BY sample_id DESC")[0][
        "sample_id"
    ]
    assert "Your name" in own_client.get(f"/review?sample={sample}").text
    assert say(own_client, "accept", f"/review?reviewer=Ann&sample={sample}")[0] == sample
    assert lines(own_site)[0]["queue"] == "chosen"
    assert "Nobody has reviewed yet" in own_client.get("/certificate").text
    assert f">{lines(own_site)[0]['verdict']}<" in own_client.get(f"/row/{sample}").text


def test_a_stratified_queue_takes_bands_in_turn(own_site: Site, own_client: TestClient) -> None:
    scores = {f"{number:016x}": number / 20 for number in range(20)}
    taken = in_order(scores, "stratified")
    assert [int(name, 16) // 4 for name in taken[:10]] == [0, 1, 2, 3, 4] * 2
    assert sorted(taken) == list(scores)
    say(own_client, "accept", "/review?reviewer=Ann&queue=stratified&score=captions.agreement")
    assert (lines(own_site)[0]["queue"], lines(own_site)[0]["score"]) == ("stratified", "captions.agreement")


def test_the_next_run_drops_what_was_rejected(
    own_site: Site, own_client: TestClient, drawn_recipe: Recipe, run_stages: Any
) -> None:
    sample, _ = say(own_client, "reject")
    run_stages(own_site.home, drawn_recipe, ["shard-000000", "shard-000001"], ["fine_tune_set"])
    assert funnel(Ledger(own_site.home.ledger)).stages[-1].rejected["review"] == 1
    own_site.index.refresh(at_once=True)
    assert f"/row/{sample}" in own_client.get("/gallery?reason=review").text
    assert sample in sample_scores(own_site.index, "captions.match"), "precision is of what the graph made"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sample_id": "0123456789abcdef"}, "no such sample"),
        ({"sample_id": "../../etc/passwd"}, "no such sample"),
        ({"sample_id": ""}, "no such sample"),
        ({"verdict": "perhaps"}, "is not a verdict"),
        ({"verdict": ""}, "is not a verdict"),
        ({"reviewer": ""}, "name"),
        ({"reviewer": "x" * 61}, "name"),
        ({"note": "x" * 2001}, "at most 2,000"),
        ({"queue": "mine"}, "none of random"),
        ({"reason": "mine"}, "none of wrong side"),
        ({"reason": "other"}, "is rejected has a reason"),
        ({"undid": "mine"}, "none of accept"),
        ({"score": "mine"}, "none of"),
    ],
)
def test_what_cannot_be_recorded_is_refused(
    site: Site, client: TestClient, change: dict[str, str], words: str
) -> None:
    form = {"reviewer": "Ann", "sample_id": sorted(sample_scores(site.index, "captions.match"))[0]}
    values = {**form, "verdict": "accept", "note": "", **change}
    answer = client.post("/review", content=urlencode(values), headers=ORIGIN)
    assert answer.status_code == 400
    assert words in answer.text
    assert not site.home.reviews.exists()


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"{}", b"verdict", b"&".join([b"a=1"] * 40)])
def test_what_is_no_form_is_refused(site: Site, client: TestClient, body: bytes) -> None:
    assert client.post("/review", content=body, headers=ORIGIN).status_code == 400
    assert not site.home.reviews.exists()


def test_the_address_that_follows_keeps_the_queue(own_client: TestClient) -> None:
    sample, address = say(own_client, "accept", "/review?reviewer=Ann+%26+Co&queue=stratified&score=captions.match")
    assert dict(parse_qsl(address.partition("?")[2])) == {
        "reviewer": "Ann & Co",
        "queue": "stratified",
        "score": "captions.match",
        "last": sample,
    }


def test_a_home_that_is_only_read_is_said_to_be(own_site: Site, own_client: TestClient) -> None:
    # Where nothing is to be written, root alone can write; nobody writes a file in a folder that is not there.
    own_site.home.reviews.unlink(missing_ok=True)
    own_site.home.reviews.symlink_to(own_site.home.root / "gone" / "reviews.jsonl")
    body = urlencode({**fields(own_client.get("/review?reviewer=Ann").text), "verdict": "accept"})
    answer = own_client.post("/review", content=body, headers=ORIGIN, follow_redirects=False)
    assert answer.status_code == 409
    assert "The verdict was not kept, for the home cannot be written." in answer.text
    assert not own_site.home.reviews.exists()
