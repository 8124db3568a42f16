"""What looks like a row: by vectors of one model, nearest first, in the gallery and on the pages it leads to."""

import html
import json
import re
from typing import Any

from starlette.testclient import TestClient

from imgdiff_assets.browser.alike import look_alike
from imgdiff_assets.browser.site import Site
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.method.near_duplicates import VECTOR_COLUMNS, unpacked


def test_the_nearest_are_those_that_numpy_finds(site: Site, client: TestClient) -> None:
    columns = ("source_phash", "target_phash", *VECTOR_COLUMNS)
    rows = site.index.rows(f"SELECT pair_id, {', '.join(columns)} FROM filtered_pairs WHERE source_vector IS NOT NULL")
    vectors = unpacked([[row[name] for name in columns] for row in rows]).vectors.reshape(len(rows), 2, -1)
    pair = rows[3]["pair_id"]
    cosines = {row["pair_id"]: float((both @ vectors[3].T).max()) for row, both in zip(rows, vectors, strict=True)}
    found = look_alike(site.index, pair)
    assert set(found.pairs) == set(cosines)
    assert [round(value, 2) for value in found.cosines] == sorted(
        (round(v, 2) for v in cosines.values()), reverse=True
    )
    page = client.get(f"/gallery?stage=filtered_pairs&verdict=all&like={pair}").text
    cards = [html.unescape(address) for address in re.findall(r'class="card" href="([^"]*)"', page)]
    assert [address.partition("?")[0] for address in cards] == [f"/row/{name}" for name in found.pairs]
    following = client.get(cards[1]).text
    assert f"2 of {len(cards)} rows" in following
    assert "image vectors of" in page
    assert client.get("/gallery?like=0123456789abcdef").status_code == 400
    assert client.get("/gallery?like=' OR 1").status_code == 400


def test_vectors_of_another_model_are_never_compared(own_site: Site, commit_rows: Any) -> None:
    """Not even where they are as long."""
    ledger, shard = Ledger(own_site.home.ledger), "shard-000001"
    first, second = (
        {row["pair_id"] for row in own_site.index.rows(f"SELECT pair_id FROM filtered_pairs WHERE shard = '{key}'")}
        for key in ("shard-000000", shard)
    )
    pair = min(second)
    assert set(look_alike(own_site.index, pair).pairs) & first
    record = json.loads(json.dumps(ledger.record("filtered_pairs", shard)))
    record["models"]["image_text_encoder"]["weights"] = "others"
    commit_rows(ledger, "filtered_pairs", shard, ledger.read("filtered_pairs", shard).to_pylist(), record=record)
    own_site.index.refresh(at_once=True)
    assert set(look_alike(own_site.index, pair).pairs) <= second
    assert not set(look_alike(own_site.index, min(first)).pairs) & second
