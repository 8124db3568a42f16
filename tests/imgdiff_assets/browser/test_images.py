"""Pictures as the site gives them: whole ones as in the ledger, thumbnails from a cache, and never a wrong one."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from starlette.testclient import TestClient

from imgdiff_assets.browser.app import FOREVER
from imgdiff_assets.browser.images import NoImage, Pictures
from imgdiff_assets.browser.index import Index
from imgdiff_assets.browser.site import Site
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.cells import CellReference, GroupedFile
from imgdiff_assets.ledger.compaction import keep_rows
from imgdiff_assets.ledger.images import PairImages, decode, pixel_hash
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.stages.graph import stage_named

STAGE = stage_named("image_pairs")
SHARD = "shard-000000"


def drawn(site: Site) -> list[dict[str, Any]]:
    return site.index.rows("SELECT * FROM image_pairs WHERE source_hash IS NOT NULL ORDER BY shard, row")


def test_images_are_those_of_the_ledger(site: Site, client: TestClient) -> None:
    for row in drawn(site):
        images = PairImages(Ledger(site.home.ledger), row["shard"])
        for side, pixels in zip(("source", "target"), images(row["pair_id"]), strict=True):
            answer = client.get(f"/image/{row['pair_id']}/{side}")
            assert answer.headers["content-type"] == "image/png"
            assert np.array_equal(decode(answer.content), pixels)
        images.close()


def test_an_erased_region_is_seen_beside_what_it_was_erased_from(site: Site, client: TestClient) -> None:
    row = site.index.rows("SELECT * FROM removed_pairs WHERE erased_hash IS NOT NULL ORDER BY region_id")[0]
    original = decode(client.get(f"/image/{row['pair_id']}/{row['found_in']}").content)
    erased = decode(client.get(f"/image/{row['region_id']}/erased").content)
    assert pixel_hash(erased) == row["erased_hash"]
    answer = client.get(f"/thumbnail/{row['pair_id']}?erased={row['region_id']}")
    with Image.open(io.BytesIO(answer.content)) as sheet:
        shown = np.asarray(sheet.convert("RGB"), dtype=float)
    assert np.abs(shown[:, : original.shape[1]] - original).mean() < 12
    assert np.abs(shown[:, -original.shape[1] :] - erased).mean() < 12
    sample = site.index.rows("SELECT * FROM fine_tune_set WHERE erased_from IS NOT NULL ORDER BY sample_id")[0]
    page = client.get(f"/row/{sample['sample_id']}").text
    assert f"/image/{sample['pair_id']}/{sample['erased_from']}" in page
    assert f"/image/{sample['region_id']}/erased" in page
    assert "<h3>removed_pairs <code>" in page


def test_an_image_that_is_not_kept_is_said_to_be_and_how_it_is_made_again(
    own_site: Site, own_client: TestClient
) -> None:
    ledger = Ledger(own_site.home.ledger)
    every = np.ones(len(ledger.read("image_pairs", SHARD)), dtype=bool)
    dropped = dict.fromkeys(PairImages.columns, every)
    keep_rows(ledger, "image_pairs", SHARD, every, ledger.record("image_pairs", SHARD), dropped)
    pair = next(row["pair_id"] for row in drawn(own_site) if row["shard"] == SHARD)
    for address in (f"/image/{pair}/source", f"/thumbnail/{pair}"):
        answer = own_client.get(address)
        assert (answer.status_code, answer.headers["content-type"]) == (410, "image/svg+xml")
        assert "not kept any more" in answer.text
    page = own_client.get(f"/row/{pair}").text
    assert f"`imgdiff replay {pair}` makes it again" in page


def test_a_thumbnail_has_source_and_target(site: Site, client: TestClient) -> None:
    row = drawn(site)[0]
    answer = client.get(f"/thumbnail/{row['pair_id']}")
    assert answer.headers["content-type"] == "image/webp"
    with Image.open(io.BytesIO(answer.content)) as sheet:
        assert sheet.size == (2 * row["width"] + row["width"] // 32, row["height"])
        shown = np.asarray(sheet.convert("RGB"), dtype=float)
    source, target = (decode(client.get(f"/image/{row['pair_id']}/{side}").content) for side in ("source", "target"))
    assert np.abs(shown[:, : row["width"]] - source).mean() < 12
    assert np.abs(shown[:, -row["width"] :] - target).mean() < 12


def test_a_picture_is_sent_once(site: Site, client: TestClient) -> None:
    row = drawn(site)[0]
    version = f"{row['source_hash'][:12]}-{row['target_hash'][:12]}"
    for address, named in (
        (f"/thumbnail/{row['pair_id']}?v={version}", True),
        (f"/image/{row['pair_id']}/source?v={row['source_hash'][:12]}", True),
        (f"/thumbnail/{row['pair_id']}?v=0123456789ab", False),
        (f"/thumbnail/{row['pair_id']}?v=", False),
        (f"/image/{row['pair_id']}/target", False),
    ):
        answer = client.get(address)
        assert (answer.headers["cache-control"] == FOREVER) is named
        again = client.get(address, headers={"if-none-match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


def test_thumbnails_are_drawn_once_and_survive_a_restart(
    own_home: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    index = Index(own_home)
    pair = index.rows("SELECT pair_id FROM image_pairs WHERE source_hash IS NOT NULL")[0]["pair_id"]
    first = Pictures(index, tmp_path / "cache").thumbnail(pair)
    monkeypatch.setattr(Pictures, "_draw", lambda *arguments: pytest.fail("drawn again"))
    pictures = Pictures(index, tmp_path / "cache")
    assert [pictures.thumbnail(pair) for _ in range(2)] == [first, first]


def test_a_cache_that_cannot_be_written_is_no_hindrance(own_home: Home, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    index = Index(own_home)
    pair = index.rows("SELECT pair_id FROM image_pairs WHERE source_hash IS NOT NULL")[0]["pair_id"]
    assert Pictures(index, tmp_path / "file" / "cache").thumbnail(pair).data


@pytest.fixture
def rewrite(own_home: Home, commit_rows: Any) -> Callable[[int, bool], None]:
    """`rewrite(first, backwards)`: the table of image pairs without its first rows, or turned round."""

    def call(first: int, backwards: bool) -> None:
        ledger = Ledger(own_home.ledger)
        rows = ledger.read("image_pairs", SHARD, STAGE.schema).to_pylist()
        references = [CellReference(ledger.table_path("image_pairs", SHARD), number) for number in range(len(rows))]
        step = -1 if backwards else 1
        commit_rows(ledger, "image_pairs", SHARD, rows[first:][::step], references[first:][::step])

    return call


def test_rows_that_moved_are_found_again(own_home: Home, tmp_path: Path, rewrite: Any) -> None:
    index = Index(own_home)
    pictures = Pictures(index, tmp_path / "cache")
    pairs = [row["pair_id"] for row in index.rows("SELECT pair_id FROM image_pairs WHERE source_hash IS NOT NULL")]
    before = {pair: pictures.image(pair, "source") for pair in pairs}
    rewrite(0, True)
    assert {pair: pictures.image(pair, "source") for pair in pairs} == before


def test_a_pair_that_went_is_told(own_home: Home, tmp_path: Path, rewrite: Any) -> None:
    index = Index(own_home)
    pictures = Pictures(index, tmp_path / "cache")
    pair = index.rows(f"SELECT pair_id FROM image_pairs WHERE shard = '{SHARD}' AND row = 0")[0]["pair_id"]
    rewrite(1, False)
    with pytest.raises(NoImage, match=pair):
        pictures.image(pair, "source")


def test_a_row_group_is_read_once_until_its_table_is_replaced(
    own_home: Home, tmp_path: Path, rewrite: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    original = GroupedFile.group_of
    monkeypatch.setattr(GroupedFile, "group_of", lambda self, row: (read.append(row), original(self, row))[1])
    index = Index(own_home)
    pictures = Pictures(index, tmp_path / "cache")
    pairs = index.rows(f"SELECT pair_id FROM image_pairs WHERE shard = '{SHARD}' AND source_hash IS NOT NULL")
    assert len(pairs) > 1
    for _ in range(2):
        for pair in pairs:
            pictures.image(pair["pair_id"], "source")
            pictures.thumbnail(pair["pair_id"])
    parts = [pq.read_metadata(path) for path in Ledger(own_home.ledger).parts_named("image_pairs", SHARD)]
    assert len(read) == 1 + sum(part.num_row_groups for part in parts), "all rows of the table lie in one group"
    rewrite(0, True)
    read.clear()
    pictures.image(pairs[0]["pair_id"], "target")
    assert len(read) == 1, "of the table: its parts are as they were"


def test_an_image_that_is_damaged_is_told(own_home: Home, tmp_path: Path, commit_rows: Any) -> None:
    ledger, cell = Ledger(own_home.ledger), {"bytes": b"<script>alert(1)</script>", "path": "x.png"}
    rows = ledger.read("image_pairs", SHARD, STAGE.schema).to_pylist()
    commit_rows(ledger, "image_pairs", SHARD, [{**row, "source_image": cell, "target_image": cell} for row in rows])
    index = Index(own_home)
    pair = index.rows(f"SELECT pair_id FROM image_pairs WHERE shard = '{SHARD}' AND row = 0")[0]["pair_id"]
    pictures = Pictures(index, tmp_path / "cache")
    for ask in (lambda: pictures.image(pair, "source"), lambda: pictures.thumbnail(pair)):
        with pytest.raises(NoImage, match="cannot be decoded"):
            ask()


@pytest.mark.parametrize(
    "path",
    [
        "/image/0123456789abcdef/source",
        "/image/0123456789abcdef/../../etc/passwd",
        "/image/..%2f..%2fetc%2fpasswd/source",
        "/thumbnail/0123456789abcdef",
        "/thumbnail/0123456789ABCDEF",
        "/static/../app.py",
        "/static/..%2fapp.py",
        "/static/%2e%2e/app.py",
    ],
)
def test_no_path_leads_out(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_only_two_sides(site: Site, client: TestClient) -> None:
    assert client.get(f"/image/{drawn(site)[0]['pair_id']}/rows").status_code == 404
