"""The map: alike pairs near each other, its points as the page reads them, and what a lasso holds."""

import json
import re
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from imgdiff_assets.browser.alike import look_alike
from imgdiff_assets.browser.map_page import CODED
from imgdiff_assets.browser.plane import NoPlane, make_plane, plane_path, within
from imgdiff_assets.browser.site import Site
from imgdiff_assets.method.kind import UNKNOWN, kind_names


def points(client: TestClient, coloured: str) -> tuple[dict[str, Any], np.ndarray]:
    data = client.get("/map/points", params={"coloured": coloured}).raise_for_status().content
    head, _, arrays = data.partition(b"\n")
    return json.loads(head), np.frombuffer(arrays, "<f4").reshape(3, -1)


def test_a_polygon_holds_what_is_within_it() -> None:
    places = np.array([[5, 5], [15, 5], [5, 15], [2, 9], [9, 9.5]], dtype=np.float32)
    square = np.array([[0, 0], [10, 0], [10, 10], [0, 10]], dtype=np.float64)
    assert within(places, square).tolist() == [True, False, False, True, True]
    assert within(places, square[::-1]).tolist() == [True, False, False, True, True]
    crossed = np.array([[0, 0], [10, 10], [10, 0], [0, 10]], dtype=np.float64)
    assert within(np.array([[1, 5], [5, 1], [9, 5], [5, 9]], dtype=np.float32), crossed).tolist() == [
        True,
        False,
        True,
        False,
    ]


def test_every_sample_has_a_point_and_a_lasso_lists_what_it_holds(own_site: Site, own_client: TestClient) -> None:
    assert "imgdiff map" in own_client.get("/map").text
    assert own_client.get("/map/points").status_code == 400
    plane = make_plane(own_site.index, "pca")
    assert "placed by pca" in own_client.get("/map").text
    rows = own_site.index.rows("SELECT sample_id, pair_id, rejected_by FROM fine_tune_set ORDER BY sample_id")
    head, (x, y, codes) = points(own_client, "verdict")
    assert (head["count"], head["left_out"]) == (len(rows), 0)
    assert [head["names"][int(code)] for code in codes] == [row["rejected_by"] or "kept" for row in rows]
    place = dict(zip(plane.pairs, plane.places, strict=True))
    expected = np.array([place[row["pair_id"]] for row in rows])
    assert np.abs(np.stack([x, y], axis=1) - expected).max() < 0.005
    assert (plane.places.min(axis=0).tolist(), plane.places.max(axis=0).tolist()) == ([0, 0], [1, 1])
    half = {name for name, (left, _) in place.items() if left < 0.5}
    page = own_client.get("/gallery?verdict=all&area=-100,-100,500,-100,500,1100,-100,1100").text
    listed = set(re.findall(r'name="id" value="(\w+)"', page))
    assert 0 < len(listed) < len(rows)
    assert listed == {row["sample_id"] for row in rows if row["pair_id"] in half}
    for area in ("1,2", "1,2,3,4,5", "a", "1,2,3,4,5,6,7", "1," * 600 + "1"):
        assert own_client.get(f"/gallery?area={area}").status_code == 400, area


def test_colours_are_of_what_they_are_called(own_site: Site, own_client: TestClient) -> None:
    make_plane(own_site.index, "pca")
    told = {name: points(own_client, name)[0]["names"] for name in CODED}
    columns = {
        name: own_site.index.rows(f"SELECT DISTINCT {name} AS each FROM fine_tune_set") for name in ("task", "shard")
    }
    assert {name: sorted(told[name]) for name in columns} == {
        name: sorted(row["each"] for row in rows) for name, rows in columns.items()
    }
    assert set(told["kind"]) <= {*kind_names(), UNKNOWN}


def test_a_score_colours_and_a_damaged_map_is_told(own_site: Site, own_client: TestClient) -> None:
    make_plane(own_site.index, "pca")
    head, (_, _, values) = points(own_client, "captions.match")
    scores = own_site.index.rows(
        "SELECT c.match FROM fine_tune_set AS t "
        "LEFT JOIN captions AS c ON t.shard = c.shard AND t.region_id = c.region_id ORDER BY t.sample_id"
    )
    assert head["names"] == []
    assert np.allclose(values, [np.nan if row["match"] is None else row["match"] for row in scores], equal_nan=True)
    assert own_client.get("/map/points?coloured=mine").status_code == 400
    plane_path(own_site.home).write_bytes(b"PAR1")
    assert "is damaged" in own_client.get("/map").text
    assert own_client.get("/gallery?area=0,0,1,0,1,1").status_code == 400


def test_alike_pairs_are_near_each_other(own_site: Site) -> None:
    """The nearest by vectors are nearer on the map than pairs are as a rule; and equal vectors give equal maps."""
    first, second = make_plane(own_site.index, "pca"), make_plane(own_site.index, "pca")
    assert np.array_equal(first.places, second.places)
    apart = np.linalg.norm(first.places[:, None] - first.places[None], axis=2)
    place = {name: number for number, name in enumerate(first.pairs)}
    nearest = [apart[place[name], place[look_alike(own_site.index, name).pairs[1]]] for name in first.pairs]
    assert np.mean(nearest) < 0.7 * apart[np.triu_indices(len(apart), 1)].mean()


def test_umap_is_asked_for_by_its_extra(own_site: Site) -> None:
    if find_spec("umap") is None:
        with pytest.raises(NoPlane, match="imgdiff-assets\\[map\\]"):
            make_plane(own_site.index, "umap")
    else:
        assert make_plane(own_site.index, "umap").about["method"] == "umap"
