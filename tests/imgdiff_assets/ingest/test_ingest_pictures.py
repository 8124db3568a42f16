"""Pictures come in, and pairs are made of them."""

import hashlib
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from imgdiff_assets.engine.given_pairs import stage_of_shard
from imgdiff_assets.engine.materialize import materialize
from imgdiff_assets.engine.parents import read_inputs
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.ingest_captions import ingest
from imgdiff_assets.ingest.ingest_pictures import ingest_pictures
from imgdiff_assets.ingest.removed_sources import note_removal
from imgdiff_assets.ingest.shards import CAPTIONS, PICTURES, held_by, read_captions, shard_keys
from imgdiff_assets.ledger.images import PairImages, decode, pixel_hash
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.lineage.lineage import lineage
from imgdiff_assets.lineage.lineage_text import to_text
from imgdiff_assets.lineage.takedown import find_parts
from imgdiff_assets.recipe.overrides import override_recipe
from imgdiff_assets.stages.graph import STAGES, stage_named
from resources.loading.failures import ModelUnavailable

SHARD = "shard-000000"
CAPTION = "a red ball on the grass"


class Players:
    """A captioner and an editor that remember what they were asked: what real ones say is no concern here."""

    def __init__(self) -> None:
        self.described: list[tuple[int, ...]] = []
        self.told: list[str] = []

    def answer(self, images, questions):
        self.described += [group[0].shape for group in images]
        return [CAPTION for _ in questions]

    def edit(self, sources, instructions, seeds):
        self.told += instructions
        return [np.ascontiguousarray(source[..., ::-1]) for source in sources]


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    place = tmp_path / "photos"
    (place / "more").mkdir(parents=True)
    for name, shape in {"a.png": (70, 101, 3), "more/b.jpg": (64, 64, 3), "thin.png": (18, 900, 3)}.items():
        Image.fromarray(rng.integers(0, 255, shape, dtype=np.uint8)).save(place / name)
    (place / "broken.png").write_bytes((place / "a.png").read_bytes()[:200])
    (place / "notes.txt").write_text("no picture", encoding="utf-8")
    return place


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path / "home")


def test_a_folder_s_pictures_come_in_with_their_files_names_and_hashes(folder, home):
    report = ingest_pictures([folder], home)
    assert report.shards == [SHARD]
    assert (report.accepted, report.rejected_count) == (3, 1)
    assert held_by(home, SHARD) == PICTURES
    assert "truncated or damaged" in report.rejected[0].reason
    assert ["notes.txt" in line for line in report.not_looked_at] == [True]
    rows = {row["file_name"]: row for row in read_captions(home, SHARD).to_pylist()}
    assert rows.keys() == {"a.png", "more/b.jpg", "thin.png"}
    for name, row in rows.items():
        assert row["file_hash"] == hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (cells,) = [
        row
        for row in pq.read_table(home.captions / f"{SHARD}.images.parquet").to_pylist()
        if row["caption_id"] == rows["a.png"]["caption_id"]
    ]
    assert pixel_hash(decode(cells["source_image"]["bytes"])) == rows["a.png"]["picture_hash"]


def test_a_picture_comes_in_once_whatever_its_file(folder, home, tmp_path):
    ingest_pictures([folder], home)
    other = tmp_path / "other"
    other.mkdir()
    with Image.open(folder / "a.png") as image:
        image.save(other / "same.tiff")
    report = ingest_pictures([other], home)
    assert (report.accepted, report.duplicates) == (0, 1)


def test_a_table_names_pictures_and_captions(folder, home, tmp_path):
    table = folder / "table.jsonl"
    rows = [{"file": "a.png", "text": CAPTION}, {"file": "../escaped.png"}, {"file": "more/b.jpg"}, {"text": "x"}]
    table.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    report = ingest_pictures([table], home, {"image": "file", "caption": "text"})
    assert (report.accepted, report.rejected_count) == (2, 2)
    assert [row["caption"] for row in read_captions(home, SHARD).to_pylist()] == [CAPTION, ""]
    assert [(row.line, row.field) for row in report.rejected] == [(2, "image"), (4, "image")]


def test_a_table_without_the_column_says_which_option_names_another(home, tmp_path):
    (tmp_path / "table.jsonl").write_text('{"picture": "a.png"}\n', encoding="utf-8")
    report = ingest_pictures([tmp_path / "table.jsonl"], home)
    assert "has no column 'image'; name one of picture with --image-column." in report.files_failed[0]


def test_a_dry_run_writes_nothing(folder, home):
    assert ingest_pictures([folder], home, dry_run=True).accepted == 3
    assert shard_keys(home) == []


def test_a_shard_size_below_one_is_refused(folder, home):
    with pytest.raises(ValueError, match="at least one picture"):
        ingest_pictures([folder], home, shard_size=0)


@pytest.fixture
def recipe(drawn_recipe):
    overrides = ["editor.model=x", "prompt_pairs.pictures.longest_side=64", "prompt_pairs.known_words=[]"]
    return override_recipe(drawn_recipe, overrides)


@pytest.fixture
def made(folder, home, recipe, drawn_models):
    """Pictures of which one has a caption, through both stages that look at them."""
    rows = [{"image": "a.png", "caption": "a blue cup on the sand"}, {"image": "more/b.jpg"}, {"image": "thin.png"}]
    (folder / "table.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    ingest_pictures([folder / "table.jsonl"], home)
    players = Players()
    run(home, recipe, drawn_models, players)
    return home, players


def run(home, recipe, drawn_models, players):
    models = drawn_models(recipe, captioner=players, editor=players)
    for name in ("prompt_pairs", "image_pairs"):
        stage = stage_of_shard(stage_named(name), home, SHARD)
        materialize(stage, SHARD, read_inputs(stage, home, SHARD), recipe, Ledger(home.ledger), models, "run")


def rows_of(home, name):
    return Ledger(home.ledger).read(name, SHARD, images=True).to_pylist()


def test_pictures_become_pairs(made):
    home, players = made
    prompts = {row["given_caption"]: row for row in rows_of(home, "prompt_pairs") if not row["rejected_by"]}
    assert prompts.keys() == {"a blue cup on the sand", None}
    assert prompts[None]["source_caption"] == CAPTION
    assert players.described == [(64, 64, 3)]
    pairs, images = rows_of(home, "image_pairs"), PairImages(Ledger(home.ledger), SHARD)
    assert {row["pair_id"] for row in pairs} == {row["pair_id"] for row in prompts.values()}
    for row in pairs:
        source, target = images(row["pair_id"])
        np.testing.assert_array_equal(target, source[..., ::-1])
        assert row["instruction"] in players.told
    images.close()
    fitted = {row["source_caption"]: (row["width"], row["height"], row["fitted"]) for row in pairs}
    told = "scaled from 101 x 70 to 64 x 44, cropped to 64 x 32 at (0, 6)"
    assert fitted == {"a blue cup on the sand": (64, 32, told), CAPTION: (64, 64, None)}


def test_a_picture_of_which_nothing_is_left_is_rejected_with_its_reason(made):
    (row,) = [row for row in rows_of(made[0], "prompt_pairs") if row["rejected_by"]]
    assert row["rejected_by"] == "error:too_narrow"
    assert "900 x 18 pixels would be 64 x 1" in row["error"]


def test_captions_are_written_once(made, recipe, drawn_models):
    home, players = made
    players.described.clear()
    players.told.clear()
    retold = override_recipe(recipe, ["prompt_pairs.max_words=50", "prompt_pairs.task_phrases=[]"])
    run(home, retold, drawn_models, players)
    assert (players.described, players.told) == ([], [])
    run(home, override_recipe(recipe, ["prompt_pairs.attempts=2"]), drawn_models, players)
    assert players.described == [(64, 64, 3)]


def test_another_question_is_asked_of_those_without_a_caption_alone(made, recipe, drawn_models):
    home, players = made
    players.described.clear()
    run(
        home, override_recipe(recipe, ["prompt_pairs.pictures.caption_question='what is it ?'"]), drawn_models, players
    )
    assert players.described == [(64, 64, 3)]


def test_another_size_makes_pairs_anew(made, recipe, drawn_models):
    home, players = made
    players.told.clear()
    run(home, override_recipe(recipe, ["prompt_pairs.pictures.crop=square"]), drawn_models, players)
    assert len(players.told) == 2
    assert {(row["width"], row["height"]) for row in rows_of(home, "image_pairs")} == {(64, 64), (32, 32)}


def test_people_are_kept_out_before_and_after_rewriting(made, recipe, drawn_models):
    home, players = made
    players.told.clear()
    run(home, override_recipe(recipe, ["prompt_pairs.avoid=[people, cup]"]), drawn_models, players)
    reasons = {row["source_caption"]: row["rejected_by"] for row in rows_of(home, "prompt_pairs")}
    assert reasons["a blue cup on the sand"] == "avoided"
    assert reasons[CAPTION] != "avoided"


def test_lineage_reaches_the_file(made, folder, recipe):
    home, _ = made
    (row,) = [row for row in rows_of(home, "image_pairs") if row["fitted"]]
    root = lineage(home, recipe, row["pair_id"])
    assert root.values["file_name"] == "a.png"
    assert root.values["file_hash"] == hashlib.sha256((folder / "a.png").read_bytes()).hexdigest()
    assert f"picture a.png, SHA-256 {root.values['file_hash']}" in to_text(root)
    (prompt,) = root.children
    (pair,) = prompt.children
    assert pair.values["fitted"] == row["fitted"]
    assert pair.values["instruction"] == row["instruction"]


def test_a_recipe_without_an_editor_says_so(folder, home, drawn_recipe, drawn_models):
    ingest_pictures([folder], home)
    recipe = override_recipe(drawn_recipe, ["prompt_pairs.known_words=[]"])
    with pytest.raises(ModelUnavailable, match=r"models\.editor\.model"):
        run(home, recipe, drawn_models, Players())


def test_shards_of_captions_know_nothing_of_pictures(home, tmp_path):
    file = tmp_path / "captions.txt"
    file.write_text(CAPTION, encoding="utf-8")
    ingest([file], home)
    assert held_by(home, SHARD) == CAPTIONS
    assert all(stage_of_shard(stage, home, SHARD) is stage for stage in STAGES)


def test_a_picture_that_was_taken_down_does_not_come_in_again(made, folder):
    home, _ = made
    (row,) = [row for row in read_captions(home, SHARD).to_pylist() if row["file_name"] == "a.png"]
    for by in (row["picture_hash"], row["file_hash"]):
        assert [part.captions for part in find_parts(home, "picture", by)] == [[row["caption_id"]]]
    note_removal(home, "picture", [], [row["file_hash"]], [], [], {})
    (home.captions / f"{SHARD}.parquet").unlink()
    report = ingest_pictures([folder], home)
    assert [refused.reason[:33] for refused in report.rejected if "a.png" in refused.file] == [
        "shows a picture that was removed "
    ]
