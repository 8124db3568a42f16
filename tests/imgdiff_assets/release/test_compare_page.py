"""Two releases as pictures: what came, went and changed, each once, with what the later one says of why."""

import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from starlette.testclient import TestClient

from imgdiff_assets.browser.app import create_app
from imgdiff_assets.browser.site import Site
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.cells import is_image
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.reading.gathered import gather
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.release.compare_page import PAGES, compare
from imgdiff_assets.release.contents import Contents, contents, write_contents
from imgdiff_assets.stages.graph import STAGES, stage_named

SHARDS = ("shard-000000", "shard-000001")


@pytest.fixture
def samples(own_home: Home) -> list[dict[str, Any]]:
    """Of two releases: the second lacks the first sample, has one more, and tells one otherwise."""
    ledger = Ledger(own_home.ledger)
    rows = [dict(row) for row in contents(ledger, STAGES, gather(ledger, SHARDS), []).samples]
    other = {**rows[2], "answer": "<b>Something else.</b>"}
    for version, previous, told in (("1", None, rows[:-1]), ("2", "1", [rows[1], other, *rows[3:]])):
        folder = own_home.releases / version
        folder.mkdir(parents=True)
        write_contents(Contents({"number": int(version), "version": version, "previous": previous}, told), folder)
    why = {"kind": "gone", "sample_id": rows[0]["sample_id"], "task": "difference", "why": "its source was removed"}
    (own_home.releases / "2" / "changes.json").write_text(json.dumps([why]), encoding="utf-8")
    return rows


def test_each_difference_is_shown_once(own_home: Home, drawn_recipe: Recipe, samples: list[dict[str, Any]]) -> None:
    found = compare(own_home.releases / "1", own_home.releases / "2")
    told = {kind: [each.row["sample_id"] for each in of_kind] for kind, of_kind in found.items()}
    first, _, changed, *_, last = (row["sample_id"] for row in samples)
    assert told == {"added": [last], "gone": [first], "changed": [changed]}
    assert found["changed"][0].differing == ["answer"]
    with TestClient(create_app(Site(own_home, drawn_recipe, more=PAGES)), base_url="http://localhost") as client:
        page = client.get("/releases").text
        assert 'aria-current="page">Releases' in page
        assert re.findall(r">(\d+) (?:added|gone|changed)<", page) == ["1", "1", "1"]
        for kind, row in (("added", samples[-1]), ("gone", samples[0]), ("changed", samples[2])):
            page = client.get(f"/releases?kind={kind}").text
            (picture,) = re.findall(r'<img src="([^"]*)"', page)
            assert row["pair_id"] in picture
            assert client.get(picture.replace("&amp;", "&")).headers["content-type"] == "image/webp"
        assert "<ins><bdi>&lt;b&gt;Something else.&lt;/b&gt;</bdi></ins>" in page
        assert "its source was removed" in client.get("/releases?kind=gone").text
        turned = client.get("/releases?before=2&now=1&kind=gone").text
        assert f"/row/{samples[-1]['pair_id']}" in turned
        assert "its source was removed" not in turned, "that is what the second says of the first"


def test_what_cannot_be_compared_is_said(
    own_home: Home, drawn_recipe: Recipe, samples: list[dict[str, Any]], commit_other_images: Any
) -> None:
    with TestClient(create_app(Site(own_home, drawn_recipe, more=PAGES)), base_url="http://localhost") as client:
        for query in ("before=../..", "kind=mine", "page=0", "page=-1", "page=9999999999"):
            assert client.get(f"/releases?{query}").status_code == 400, query
        assert "No sample came" in client.get("/releases?before=1&now=1").text
        commit_other_images(own_home, samples[0]["pair_id"])
        gone = client.get("/releases?kind=gone").text
        assert "<img" not in gone, "other images than those of the release are not shown for them"
        samples_of_2 = Path(own_home.releases) / "2" / "samples.parquet"
        samples_of_2.write_bytes(b"PAR1")
        answer = client.get("/releases")
        assert (answer.status_code, "is damaged" in answer.text) == (400, True)
        samples_of_2.unlink()
        answer = client.get("/releases")
        assert (answer.status_code, "is missing: put a copy in its place" in answer.text) == (400, True)


@pytest.fixture
def commit_other_images() -> Any:
    """`commit_other_images(home, pair_id)`: the pair is drawn anew, as its hashes say."""

    def commit(home: Home, pair_id: str) -> None:
        ledger = Ledger(home.ledger)
        for shard in SHARDS:
            rows = ledger.read("image_pairs", shard).to_pylist()
            if any(row["pair_id"] == pair_id for row in rows):
                for row in rows:
                    row |= {"source_hash": "0" * 64} if row["pair_id"] == pair_id else {}

                schema = stage_named("image_pairs").schema
                table = pa.Table.from_pylist(rows, schema=pa.schema([each for each in schema if not is_image(each)]))
                record = ledger.record("image_pairs", shard) or {}
                ledger.commit("image_pairs", shard, schema, table, [None] * len(rows), record)

    return commit
