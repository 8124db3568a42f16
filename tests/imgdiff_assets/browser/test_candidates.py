"""The gallery's questions against a plain recount, and its pages against each other."""

import html
import re
from itertools import product
from typing import Any
from urllib.parse import parse_qsl

import pytest
from starlette.testclient import TestClient

from imgdiff_assets.browser.candidates import read_page
from imgdiff_assets.browser.funnel_page import funnel_page
from imgdiff_assets.browser.joins import scores_of
from imgdiff_assets.browser.neighbours import neighbours
from imgdiff_assets.browser.people import visitor
from imgdiff_assets.browser.question import BadQuestion, Question, read_question
from imgdiff_assets.browser.row_page import row_page
from imgdiff_assets.browser.site import Site
from imgdiff_assets.browser.statistics import histograms, kept_by_kind
from imgdiff_assets.method.tasks import SIDES
from imgdiff_assets.stages.graph import COMMON_NAMES as STAGE_NAMES
from imgdiff_assets.stages.graph import COMMON_STAGES as STAGES
from imgdiff_assets.stages.graph import stage_named
from imgdiff_assets.stages.stage import Stage

SIZE = 8
"""Rows of a page, so few that there are several pages."""


def pages(site: Site, question: Question, size: int) -> list[list[dict[str, Any]]]:
    """All pages, from the first on."""
    found, address = [], question.address()
    while address:
        page = read_page(site.index, follow(address), size)
        found.append(page.rows)
        address = page.next or ""
    return found


def follow(address: str) -> Question:
    return read_question(dict(parse_qsl(address.partition("?")[2])))


@pytest.mark.parametrize(
    ("stage", "descending", "every"),
    [
        *((stage, bool(number % 2), False) for number, stage in enumerate(STAGES)),
        *(
            pytest.param(stage, descending, True, marks=pytest.mark.slow)
            for stage, descending in product(STAGES, (False, True))
        ),
    ],
    ids=lambda value: value.name if isinstance(value, Stage) else None,
)
def test_pages_show_every_row_once_in_order(site: Site, stage: Stage, descending: bool, every: bool) -> None:
    """Of one stage up, of the next down, by one score of each table; slowly, both ways by every one."""
    scores = scores_of(stage)
    sorts = list(scores if every else {name.partition(".")[0]: name for name in scores}.values())
    expected = site.index.rows(f"SELECT {stage.id_column} AS id FROM {stage.name} ORDER BY shard, row")
    for sort in ("", *sorts):
        question = Question(stage.name, "all", sort=sort, descending=descending)
        rows = [row for page in pages(site, question, 11) for row in page]
        assert sorted(row["id"] for row in rows) == sorted(row["id"] for row in expected)
        if sort:
            values = [row[sort] for row in rows if row[sort] is not None]
            assert values == sorted(values, reverse=descending)
            assert all(row[sort] is None for row in rows[len(values) :]), "rows without the score come last"
        else:
            in_order = [row["id"] for row in expected]
            assert [row["id"] for row in rows] == (in_order[::-1] if descending else in_order)


@pytest.mark.parametrize("sort", ["", "bounding_boxes.region_similarity", "filtered_pairs.image_similarity"])
def test_back_leads_where_one_came_from(site: Site, sort: str) -> None:
    forwards = pages(site, Question("bounding_boxes", "all", sort=sort), SIZE)
    assert len(forwards) > 3
    page = read_page(site.index, Question("bounding_boxes", "all", sort=sort, after=forwards[-2][-1]["place"]), SIZE)
    backwards = [page.rows]
    while page.previous:
        page = read_page(site.index, follow(page.previous), SIZE)
        backwards.append(page.rows)
    assert backwards[::-1] == forwards


def test_filters_agree_with_a_recount(site: Site) -> None:
    rows = read_page(site.index, Question("bounding_boxes", "all"), 1000).rows
    name, score = rows[0]["source_object"], "bounding_boxes.region_similarity"
    for question, keeps in (
        (Question("bounding_boxes"), lambda row: row["kept"]),
        (Question("bounding_boxes", "rejected"), lambda row: not row["kept"]),
        (Question("bounding_boxes", reason="too_small"), lambda row: row["rejected_by"] == "too_small"),
        (Question("bounding_boxes", "all", shard="shard-000001"), lambda row: row["shard"] == "shard-000001"),
        (
            Question("bounding_boxes", "all", object=name.upper()),
            lambda row: name in row["source_object"] or name in row["target_object"],
        ),
        (
            Question("bounding_boxes", "all", score=score, low=0.5, high=0.9),
            lambda row: row[score] is not None and 0.5 <= row[score] < 0.9,
        ),
        (
            Question("bounding_boxes", "all", score="filtered_pairs.image_similarity", low=0.9),
            lambda row: row["filtered_pairs.image_similarity"] >= 0.9,
        ),
        (
            Question("bounding_boxes", "all", text=f"{name.upper()} THE"),
            lambda row: all(word in texts(row) for word in (name, "the")),
        ),
        (Question("bounding_boxes", "kept", reason="too_small"), lambda row: False),
    ):
        expected = [row["id"] for row in rows if keeps(row)]
        page = read_page(site.index, question, 1000)
        assert [row["id"] for row in page.rows] == expected
        assert page.total == len(expected)
        assert follow(question.address()) == question


def texts(row: dict[str, Any]) -> str:
    """What a row of regions says."""
    return " ".join(row[name] or "" for name in (f"{side}_{kind}" for side in SIDES for kind in ("caption", "object")))


def test_samples_are_found_by_task_and_by_what_they_ask_and_answer(site: Site) -> None:
    rows = read_page(site.index, Question(verdict="all"), 1000).rows
    for task in sorted({row["task"] for row in rows}):
        found = read_page(site.index, Question(verdict="all", task=task), 1000).rows
        assert [row["id"] for row in found] == [row["id"] for row in rows if row["task"] == task]
    for shown in (rows[0]["shown"], rows[-1]["shown"]):
        asked, answered = shown.question.split()[-2], shown.answer.split()[-1]
        found = read_page(site.index, Question(verdict="all", text=f"{asked} {answered}"), 1000).rows
        assert any(row["shown"] == shown for row in found)
    assert read_page(site.index, Question(verdict="all", text=TEXTS[1])).total == 0


def test_kinds_are_those_of_the_edit(own_site: Site, commit_rows: Any) -> None:
    pairs = own_site.index.ledger.read("prompt_pairs", "shard-000000").to_pylist()
    for number, row in enumerate(pairs):
        row["change_kind"] = ("object", "attribute")[number % 2]
    commit_rows(own_site.index.ledger, "prompt_pairs", "shard-000000", pairs)
    own_site.index.refresh(at_once=True)
    kinds = {row["pair_id"]: row["change_kind"] for row in pairs}
    for kind, found_as in (("object_replaced", "object"), ("attribute_changed", "attribute")):
        found = read_page(own_site.index, Question("bounding_boxes", "all", kind=kind), 1000).rows
        assert found
        assert {kinds[row["pair_id"]] for row in found if row["pair_id"] in kinds} == {found_as}
    counts = kept_by_kind(own_site.index, own_site.stages, "shard-000000")
    assert list(counts) == ["attribute_changed", "object_replaced"]
    kept = [row["kept"] for row in pairs]
    assert sum(counts[kind]["prompt_pairs"] for kind in counts) == sum(kept)
    page = funnel_page(own_site, {})
    assert "By kind of difference" in page
    assert "kind=attribute_changed" in page


def test_what_contradicts_itself_is_said(client: TestClient) -> None:
    for query, sentence, instead in (
        (
            "stage=bounding_boxes&verdict=kept&reason=too_small",
            "What too_small rejected is not kept",
            "reason=too_small",
        ),
        ("stage=bounding_boxes&reason=review", "review rejects no row of bounding_boxes", "verdict=rejected"),
        ("score=captions.match&low=0.9&high=0.5", "No score is at least 0.9 and below 0.5", "score=captions.match"),
        ("low=0.9", "Which score is to lie between these limits is not said", ""),
        ("stage=image_pairs&task=grounding", "A row of image_pairs has no task", "stage=image_pairs"),
    ):
        page = client.get(f"/gallery?{query}").text
        warning = re.search(r'class="warning".*?href="([^"]*)"', page, re.DOTALL)
        assert sentence in page
        assert warning is not None
        address = html.unescape(warning[1])
        assert instead in address
        assert 'class="warning"' not in client.get(address).text
    assert 'class="warning"' not in client.get("/gallery?stage=bounding_boxes&reason=too_small").text


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("sort", ["", "captions.caption_similarity"])
def test_from_row_to_row_as_the_gallery_has_them(site: Site, sort: str, descending: bool) -> None:
    question = Question(task="difference", sort=sort, descending=descending)
    expected = [row["id"] for row in read_page(site.index, question, 1000).rows]
    found, here = [], expected[0]
    while here:
        found.append(here)
        around = neighbours(site.index, question, here)
        assert around is not None
        assert (around.number, around.total) == (len(found), len(expected))
        assert around.previous == (found[-2] if len(found) > 1 else None)
        here = around.next or ""
    assert found == expected
    outside = neighbours(site.index, Question(task="which_image"), expected[0])
    assert outside is not None
    assert outside.number is None
    assert neighbours(site.index, question, "0" * 16) is None


def test_no_score_is_shown_where_nothing_was_compared(own_site: Site, commit_rows: Any) -> None:
    """64 bits and a cosine of -1 stand for it in the table."""
    ledger, shard = own_site.index.ledger, "shard-000000"
    rows = ledger.read("fine_tune_set", shard).to_pylist()
    for row in rows:
        row |= {"validation_bits": 64, "validation_similarity": -1.0}
    commit_rows(ledger, "fine_tune_set", shard, rows)
    own_site.index.refresh(at_once=True)
    found = read_page(own_site.index, Question(verdict="all", shard=shard), 1000).rows
    assert {row["fine_tune_set.validation_bits"] for row in found} == {None}
    assert {row["fine_tune_set.validation_similarity"] for row in found} == {None}
    shown = [(chart.stage, chart.score) for chart in histograms(own_site.index, own_site.recipe, shard)]
    assert ("fine_tune_set", "validation_bits") not in shown
    page = row_page(own_site, rows[0]["sample_id"], {}, visitor(own_site.home, None))
    assert "validation_similarity" not in page
    assert "_vector" not in page, "nobody reads base64"


def test_splits_and_reviews(site: Site) -> None:
    counts = [read_page(site.index, Question(split=split)).total for split in ("train", "validation", "")]
    assert counts[0] + counts[1] == counts[2]
    assert read_page(site.index, Question(review="none")).total == counts[2]
    assert read_page(site.index, Question(review="accept")).total == 0


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"stage": "nonesuch"}, "none of prompt_pairs"),
        ({"stage": "fine_tune_set; DROP TABLE captions"}, "none of prompt_pairs"),
        ({"verdict": "perhaps"}, "none of kept, rejected, all"),
        ({"score": "t.kept"}, "none of"),
        ({"sort": "1); --"}, "none of"),
        ({"split": "test"}, "none of train, validation"),
        ({"review": "yes"}, "none of accept, reject, none"),
        ({"low": "much"}, "is not a number"),
        ({"high": "nan"}, "is not a number"),
        ({"task": "guessing"}, "none of difference"),
        ({"object": "x" * 201}, "at most 200 characters"),
        ({"nonesuch": "1"}, "nonesuch is not something to filter by"),
    ],
)
def test_what_cannot_be_asked_is_said(values: dict[str, str], words: str) -> None:
    with pytest.raises(BadQuestion, match=words):
        read_question(values)


@pytest.mark.parametrize(
    ("sort", "place"),
    [
        ("", "shard-000000~x"),
        ("", "shard"),
        ("", f"shard-000000~{2**63}"),
        ("", "shard-000000~-1"),
        ("captions.match", "a~b"),
    ],
)
def test_a_place_that_is_none(site: Site, sort: str, place: str) -> None:
    with pytest.raises(BadQuestion, match="is not a place"):
        read_page(site.index, Question(sort=sort, after=place))


TEXTS = ["'", "'; DROP TABLE captions; --", "\\", "%", "\x00", "🐙", "'' OR 1=1"]


@pytest.mark.parametrize("field", ["reason", "shard", "object", "kind"])
def test_text_is_compared_not_executed(site: Site, field: str) -> None:
    """Each text of one stage, and of each stage one."""
    for stage, text in [*((STAGE_NAMES[-1], text) for text in TEXTS), *((stage, TEXTS[1]) for stage in STAGE_NAMES)]:
        assert read_page(site.index, Question(stage, "all", **{field: text})).total == 0


def test_scores_of_a_sample_reach_back_to_its_pair() -> None:
    scores = scores_of(stage_named("fine_tune_set"))
    assert {"filtered_pairs.image_similarity", "bounding_boxes.match", "captions.match"} <= set(scores)
