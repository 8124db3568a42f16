"""The line that is dragged: it tells what `what-if` tells, shows the rows at the edge, and writes when it may."""

import re
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from imgdiff_assets.browser.site import Site
from imgdiff_assets.home import Home
from imgdiff_assets.recipe.chosen_recipe import chosen_recipe
from imgdiff_assets.recipe.mistakes import RecipeError
from imgdiff_assets.recipe.overrides import override_recipe
from imgdiff_assets.recipe.recipe import Recipe, recipe_of
from imgdiff_assets.stages.graph import stage_named
from imgdiff_assets.what_if import stored_stage
from imgdiff_assets.what_if.what_if import what_if
from resources.loading.bounded_yaml import load_yaml

KEY = "bounding_boxes.min_match"
SETTINGS = (KEY, "captions.min_match", "bounding_boxes.max_boxes")
ORIGIN = {"origin": "http://localhost"}


@pytest.mark.parametrize("key", SETTINGS)
def test_every_value_keeps_what_what_if_says(
    own_client: TestClient, own_home: Home, drawn_recipe: Recipe, key: str
) -> None:
    page = own_client.get(f"/threshold?of={key}").text
    low, high = (float(re.findall(rf'data-{name}="([^"]*)"', page)[0]) for name in ("low", "high"))
    counts = set()
    for number in range(3):
        value = low + (high - low) * number / 2
        if key.endswith("max_boxes"):
            value = float(max(1, round(value)))
        text = own_client.get(f"/threshold/then?of={key}&value={value!r}").text
        told = re.search(r"--set [\w.]+=([^<]*)<", text)
        if told is None:
            with pytest.raises(RecipeError):
                override_recipe(drawn_recipe, [f"{key}={value!r}"])
            continue
        asked = override_recipe(drawn_recipe, [f"{key}={told[1]}"])
        answer = what_if(own_home, asked, ["shard-000000", "shard-000001"])
        rows = re.findall(
            r'<th scope="row">(\w+)</th><td class="figure">([\d,]+)</td><td class="figure">([\d,]+)', text
        )
        expected = [
            (one.then.stage, f"{one.present.kept:,}", f"{one.then.kept:,}")
            for one in answer.stages
            if one.present.shards
        ]
        assert rows == expected, value
        counts.add(tuple(rows))
    # Of whole numbers the drawn world has but few.
    assert len(counts) > 1 or key.endswith("max_boxes"), "the line makes no difference"


def test_the_rows_at_the_edge_are_the_nearest(own_client: TestClient, own_site: Site) -> None:
    stage = stage_named("bounding_boxes")
    rows = own_site.index.rows(
        "SELECT region_id, match, rejected_by FROM bounding_boxes WHERE match IS NOT NULL ORDER BY match"
    )
    limit = stage.settings(own_site.recipe).min_match
    text = own_client.get(f"/threshold/then?of={KEY}&value={limit}").text
    kept, rejected = (re.findall(r"/row/(\w+)", part) for part in text.split("<h2>")[1:])
    kept_rows = [row for row in rows if row["rejected_by"] is None]
    far = {row["region_id"]: abs(row["match"] - limit) for row in kept_rows}
    assert [far[region] for region in kept] == sorted(far.values())[:6]
    below = {row["region_id"]: row["match"] for row in rows if row["rejected_by"] == "object_not_seen"}
    assert [below[region] for region in rejected] == sorted(below.values(), reverse=True)[:6]
    assert kept
    assert rejected


def test_another_value_reads_no_table(own_client: TestClient, own_site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    # As the page asks when it is opened, before any line is dragged.
    opened = stage_named("bounding_boxes").settings(own_site.recipe).min_match
    own_client.get(f"/threshold/then?of={KEY}&value={opened}").raise_for_status()
    read: list[object] = []
    scan = stored_stage.scan
    monkeypatch.setattr(stored_stage, "scan", lambda *args, **named: (read.append(args[1:]), scan(*args, **named))[1])
    for value in (0.1, 0.3, 0.9):
        own_client.get(f"/threshold/then?of={KEY}&value={value}").raise_for_status()
    assert read == []


def test_it_is_written_only_where_it_may_be(own_client: TestClient, own_site: Site, tmp_path: Path) -> None:
    form = {"of": KEY, "value": "0.37"}
    assert "own, and a token" in own_client.get("/threshold").text
    assert own_client.post("/threshold", data=form, headers=ORIGIN).status_code == 409
    text = "# ours\n" + chosen_recipe("miniature").text()
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    own_site.recipe_file = path
    assert "Write into mine.yaml" in own_client.get("/threshold").text
    for wrong in ({"of": KEY, "value": "seven"}, {"of": KEY, "value": "7"}, {"of": "no.such", "value": "0.5"}, {}):
        assert own_client.post("/threshold", data=wrong, headers=ORIGIN).status_code == 400, wrong
        assert path.read_text(encoding="utf-8") == text
    assert own_client.post("/threshold", data=form, headers={"origin": "http://elsewhere"}).status_code == 403
    page = own_client.post("/threshold", data=form, headers=ORIGIN).raise_for_status().text
    assert f"Written into mine.yaml: <code>{KEY}=0.37" in page
    assert 'data-value="0.37"' in page, "the line of the recipe is the new one"
    written = path.read_text(encoding="utf-8")
    assert recipe_of("mine", load_yaml(written)).bounding_boxes.min_match == 0.37
    assert written.startswith("# ours\n")
    assert len(set(written.split("\n")) - set(text.split("\n"))) == 1, "all else is as it was"


def test_what_cannot_be_tried_is_said(own_client: TestClient) -> None:
    for query in ("", "of=no.such", f"of={KEY}&value=x", f"of={KEY}&value=nan", f"of={KEY}&value=7"):
        assert own_client.get(f"/threshold/then?{query}").status_code == 400, query
    assert own_client.get("/threshold?of=no.such").status_code == 400
    assert "try min_match" in own_client.get("/").text
