"""The chain above and below every row of a ledger."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imgdiff_assets.home import Home
from imgdiff_assets.ingest.shards import read_captions
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.lineage.lineage import LineageError, Node, lineage
from imgdiff_assets.lineage.lineage_text import to_text
from imgdiff_assets.reading.verdicts import in_words
from imgdiff_assets.recipe.overrides import override_recipe
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import COMMON_NAMES as STAGE_NAMES
from imgdiff_assets.stages.graph import COMMON_STAGES as STAGES
from imgdiff_assets.stages.graph import stage_named

SHARDS = ("shard-000000", "shard-000001")


def nodes(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from nodes(child)


def rows_of(home: Home, asset: str) -> list[dict[str, Any]]:
    ledger = Ledger(home.ledger)
    return [{**row, "shard": shard} for shard in SHARDS for row in ledger.read(asset, shard).to_pylist()]


def test_a_sample_is_led_back_to_its_caption(drawn_home: Home, drawn_recipe: Recipe) -> None:
    regions = {row["region_id"]: row for row in rows_of(drawn_home, "bounding_boxes")}
    pairs = {row["pair_id"]: row for row in rows_of(drawn_home, "image_pairs")}
    prompts = {row["pair_id"]: row for row in rows_of(drawn_home, "prompt_pairs")}
    samples = [row for row in rows_of(drawn_home, "fine_tune_set") if row["kept"]]
    assert {row["shard"] for row in samples} == set(SHARDS)
    for sample in samples:
        chain = list(nodes(lineage(drawn_home, drawn_recipe, sample["sample_id"])))
        above = ["caption", "prompt_pairs", "image_pairs", "filtered_pairs", "bounding_boxes", "captions"]
        assert [node.table for node in chain] == [*above, "fine_tune_set"], "one row of each table, nothing else"
        assert [node.asked_for for node in chain] == [False] * len(above) + [True]
        assert {node.shard for node in chain} == {sample["shard"]}
        by_table = {node.table: node for node in chain}
        prompt = prompts[sample["pair_id"]]
        assert by_table["caption"].values["caption"] == prompt["source_caption"]
        assert by_table["prompt_pairs"].values["target_caption"] == prompt["target_caption"]
        assert by_table["image_pairs"].values["seed"] == pairs[sample["pair_id"]]["seed"]
        assert by_table["bounding_boxes"].values["x1"] == regions[sample["region_id"]]["x1"]


@pytest.mark.parametrize(
    ("table", "column"), [("prompt_pairs", "pair_id"), ("bounding_boxes", "region_id"), ("fine_tune_set", "sample_id")]
)
def test_rows_of_every_table_are_found_with_all_below_them(
    drawn_home: Home, drawn_recipe: Recipe, table: str, column: str
) -> None:
    below = STAGE_NAMES[STAGE_NAMES.index(table) :]
    expected = {name: rows_of(drawn_home, name) for name in below}
    for row in expected[table][::3]:
        found = list(nodes(lineage(drawn_home, drawn_recipe, row[column][:12])))
        (asked,) = [node for node in found if node.asked_for]
        assert (asked.table, asked.id, asked.kept) == (table, row[column], row["kept"])
        for name in below:
            ids = sorted(node.id for node in found if node.table == name)
            id_column = next(stage.id_column for stage in STAGES if stage.name == name)
            assert ids == sorted(other[id_column] for other in expected[name] if other.get(column) == row[column])
        above = [node.table for node in found if node.table not in below]
        beside = {"removed_pairs", "removal_captions"}
        assert above == ["caption", *(name for name in STAGE_NAMES if name not in beside.union(below))]


def test_a_caption_has_all_its_rows_below(drawn_home: Home, drawn_recipe: Recipe) -> None:
    caption_id = rows_of(drawn_home, "prompt_pairs")[0]["caption_id"]
    root = lineage(drawn_home, drawn_recipe, caption_id)
    assert root.asked_for
    assert root.id == caption_id
    for parent in nodes(root):
        for child in parent.children:
            if child.table != "prompt_pairs":
                (row,) = [row for row in rows_of(drawn_home, child.table) if _identity(child.table, row) == child.id]
                assert stage_named(child.table).row_above(row)[1] == parent.id


def _identity(table: str, row: dict[str, Any]) -> str:
    return str(row[next(stage.id_column for stage in STAGES if stage.name == table)])


def test_scores_stand_beside_the_thresholds_of_the_recipe(drawn_home: Home, drawn_recipe: Recipe) -> None:
    row = next(row for row in rows_of(drawn_home, "bounding_boxes") if row["rejected_by"] == "same_content")
    looser = override_recipe(drawn_recipe, ["bounding_boxes.max_region_similarity=0.99"])
    for recipe, words in (
        (drawn_recipe, "max_region_similarity 0.97)"),
        (looser, "max_region_similarity 0.99, judged by 0.97)"),
    ):
        root = lineage(drawn_home, recipe, row["region_id"])
        text = to_text(root)
        assert f"region_similarity {row['region_similarity']:.4g} ({words}" in text
        assert "rejected by same_content: the box shows the same in both images" in text
    (score,) = [score for node in nodes(root) for score in node.scores if score.name == "region_similarity"]
    assert score.value == pytest.approx(row["region_similarity"])
    assert (score.limits[0].now, score.limits[0].judged_by) == (0.99, 0.97)


def test_models_run_and_recipe_are_named(drawn_home: Home, drawn_recipe: Recipe) -> None:
    sample = rows_of(drawn_home, "fine_tune_set")[0]
    root = lineage(drawn_home, drawn_recipe, sample["sample_id"])
    value = json.loads(json.dumps(root.to_json()))
    pair = value["children"][0]["children"][0]
    record = Ledger(drawn_home.ledger).record("image_pairs", sample["shard"])
    assert record is not None
    assert pair["made"]["models"] == record["models"]
    assert pair["made"]["recipe_hash"] == drawn_recipe.hash
    assert pair["made"]["run_id"] == "run-1"
    text = to_text(root)
    assert record["models"]["pair_generator"]["weights"][:12] in text
    assert drawn_recipe.hash in text
    assert f"seed {pair['values']['seed']}" in text


def test_a_failed_row_tells_its_error(drawn_home: Home, drawn_recipe: Recipe) -> None:
    row = next(row for row in rows_of(drawn_home, "image_pairs") if row["error"])
    text = to_text(lineage(drawn_home, drawn_recipe, row["pair_id"]))
    assert "failed (out_of_memory): CUDA out of memory; the next run tries again" in text


def test_captions_that_are_not_run_are_found(drawn_home: Home, drawn_recipe: Recipe) -> None:
    caption = read_captions(drawn_home, "shard-000002").to_pylist()[0]
    root = lineage(drawn_home, drawn_recipe, caption["caption_id"][:8])
    assert (root.id, root.values["caption"], root.children) == (caption["caption_id"], caption["caption"], [])
    assert caption["caption"] in to_text(root)


def test_the_tree_is_plain_text_whatever_it_quotes(drawn_home: Home, drawn_recipe: Recipe) -> None:
    prompts = rows_of(drawn_home, "prompt_pairs")
    assert any("\x1b" in str(row["answer"]) for row in prompts)
    for row in prompts:
        text = to_text(lineage(drawn_home, drawn_recipe, row["caption_id"]))
        assert all(character.isprintable() for line in text.split("\n") for character in line)


@pytest.mark.parametrize(
    ("prefix", "words"),
    [
        ("ffffffffffffffff", "no caption, pair, region or sample"),
        ("abc", "is not an id"),
        ("../etc/passwd", "is not an id"),
        ("", "is not an id"),
        ("0123456789abcdef0", "is not an id"),
    ],
)
def test_an_id_that_names_nothing_gives_one_sentence(
    drawn_home: Home, drawn_recipe: Recipe, prefix: str, words: str
) -> None:
    with pytest.raises(LineageError, match=words) as caught:
        lineage(drawn_home, drawn_recipe, prefix)
    assert "\n" not in str(caught.value)


def test_a_prefix_of_several_ids_is_refused(
    drawn_home: Home, drawn_recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Six digits are hardly ever shared in a small ledger; one digit is.
    monkeypatch.setattr("imgdiff_assets.lineage.lineage.SHORTEST_PREFIX", 1)
    with pytest.raises(LineageError, match=r"\d+ ids begin so, for example [0-9a-f]{16} and [0-9a-f]{16}"):
        lineage(drawn_home, drawn_recipe, rows_of(drawn_home, "bounding_boxes")[0]["region_id"][:1])


def test_a_home_in_a_strange_place_reads_the_same(drawn_home: Home, drawn_recipe: Recipe, tmp_path: Path) -> None:
    strange = Home(tmp_path / "a=b [x]*?" / "shard=other" / "home")
    shutil.copytree(drawn_home.root, strange.root)
    sample = rows_of(drawn_home, "fine_tune_set")[0]
    here, there = (lineage(home, drawn_recipe, sample["sample_id"]) for home in (drawn_home, strange))
    assert here.to_json() == there.to_json()


def test_every_filter_of_the_graph_is_put_in_words() -> None:
    for stage in STAGES:
        for step in stage.filters:
            said = in_words(stage, {"kept": False, "rejected_by": step.name, "error": None})
            assert said == f"rejected by {step.name}: {step.reason}"
            assert step.reason[0].islower()


@pytest.mark.parametrize("table", ["prompt_pairs", "filtered_pairs", "captions"])
def test_a_row_whose_line_is_broken_is_told(own_home: Home, drawn_recipe: Recipe, table: str) -> None:
    sample = next(row["sample_id"] for row in rows_of(own_home, "fine_tune_set") if row["kept"])
    shutil.rmtree(Ledger(own_home.ledger).table_path(table, SHARDS[0]).parent)
    with pytest.raises(LineageError, match=f": a table of {SHARDS[0]} that it comes from is missing"):
        lineage(own_home, drawn_recipe, sample)
