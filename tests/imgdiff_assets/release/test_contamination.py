"""Evaluation sets beside a release: what both hold is found however it is kept, and what only resembles it is not."""

import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from imgdiff_assets.common.aliases import Pixels
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.images import decode
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.method.near_duplicates import perceptual_hash
from imgdiff_assets.reading.gathered import gather
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.release.comparing import ours_of
from imgdiff_assets.release.contamination import Ours, compare
from imgdiff_assets.release.evaluation_sets import NothingToCompare
from imgdiff_assets.release.making import make_release
from resources.miniature.scenes import draw_scene


def not_told(what: str, done: int, total: int) -> None:
    pass


def pixels(seed: int) -> Pixels:
    import random

    return draw_scene(random.Random(seed)).image


def png(image: Pixels) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG")
    return buffer.getvalue()


def by_mean(images: Sequence[Pixels]) -> np.ndarray:
    """A stand-in of two numbers for vectors: which of two planted pictures it is, or neither."""
    colours = np.array([image.reshape(-1, 3).mean(0) - 128 for image in images], dtype=np.float32)
    return colours / np.linalg.norm(colours, axis=1, keepdims=True)


@pytest.fixture
def ours() -> Ours:
    images = [pixels(1), pixels(2)]
    hashes = np.array([int(perceptual_hash(image), 16) for image in images], dtype=np.uint64)
    texts = [
        ("a", "a brown dog sleeps on the old red sofa near a window"),
        ("b", "a red ball on the grass"),
        ("c", "a dog"),
    ]
    return Ours(["a", "b"], hashes, by_mean(images), texts)


def test_a_picture_is_found_in_another_size_and_form_and_in_tables(ours: Ours, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    Image.fromarray(pixels(1)).resize((200, 200)).save(tmp_path / "pictures" / "leak.jpg", quality=80)
    Image.fromarray(pixels(3)).save(tmp_path / "pictures" / "other.png")
    (tmp_path / "pictures" / "broken.png").write_bytes(b"none")
    table = pa.table({"question": ["What is it?"], "images": [[{"bytes": png(pixels(2)), "path": "x.png"}]]})
    pq.write_table(table, tmp_path / "test.parquet")
    with pa.OSFile(str(tmp_path / "cached.arrow"), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    found = compare(tmp_path, ours, None, not_told)
    assert [(match["where"], match["ours"]) for match in found.matches] == [
        ("cached.arrow:0.images[0].bytes", ["b"]),
        ("pictures/leak.jpg", ["a"]),
        ("test.parquet:0.images[0].bytes", ["b"]),
    ]
    assert (found.pictures, found.picture_matches, found.unread_count) == (4, 3, 1)
    assert found.unread[0]["where"] == "pictures/broken.png"
    assert not found.vectors_compared


def test_vectors_find_what_hashes_do_not(ours: Ours, tmp_path: Path) -> None:
    Image.fromarray(pixels(1)[:, ::-1].copy()).save(tmp_path / "mirrored.png")
    assert compare(tmp_path, ours, None, not_told).picture_matches == 0
    found = compare(tmp_path, ours, by_mean, not_told)
    assert found.picture_matches == 1
    assert found.matches[0]["cosine"] > 0.99


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("A red ball on the grass.", ["b"]),
        ("We saw a red ball on the grass there", []),
        ("Caption: A brown dog sleeps on the old red sofa, says one.", ["a"]),
        ("A brown dog sleeps on the new red sofa near a window", []),
        ("a dog", []),
    ],
)
def test_a_text_is_found_by_a_run_of_words_or_whole(ours: Ours, text: str, ids: list[str], tmp_path: Path) -> None:
    for name, written in (
        ("a.txt", text),
        ("a.json", json.dumps({"data": [{"question": text}]})),
        ("a.jsonl", json.dumps([text]) + "\n"),
        ("a.csv", f'id,text\n1,"{text}"\n'),
    ):
        (tmp_path / name).write_text(written, encoding="utf-8")
        found = compare(tmp_path, ours, None, not_told)
        assert [match["ours"] for match in found.matches] == ([ids] if ids else []), name
        (tmp_path / name).unlink()


def test_a_folder_with_nothing_in_it_is_an_error_and_so_is_none(ours: Ours, tmp_path: Path) -> None:
    (tmp_path / "read.me").write_text("no text that is read")
    with pytest.raises(NothingToCompare, match="holds no pictures and no texts"):
        compare(tmp_path, ours, None, not_told)
    with pytest.raises(NothingToCompare, match="no such folder"):
        compare(tmp_path / "none", ours, None, not_told)


def test_a_release_tells_what_it_shares_and_is_as_ever_without(
    released_home: Home, miniature_recipe: Recipe, tmp_path: Path
) -> None:
    ledger = Ledger(released_home.ledger)
    gathered = gather(ledger, ledger.shards("fine_tune_set"))
    shard, sample = next((shard, rows[0]) for shard, rows in gathered.samples.items() if rows)
    table = ledger.read("image_pairs", shard, images=True).to_pylist()
    row = next(row for row in table if row["pair_id"] == sample.pair_id)
    (tmp_path / "set").mkdir()
    Image.fromarray(decode(row["source_image"]["bytes"])).save(tmp_path / "set" / "leak.png")
    assert sample.pair_id in ours_of(ledger, gathered).picture_ids

    plain = make_release(released_home, miniature_recipe)
    card = (plain.folder / "README.md").read_text(encoding="utf-8")
    assert "Contamination" not in card
    assert not (plain.folder / "contamination.json").exists()
    assert "contamination" not in (plain.folder / "release.json").read_text(encoding="utf-8")

    made = make_release(released_home, miniature_recipe, compare_with=[tmp_path / "set"])
    assert made.made
    assert made.previous == plain.version
    told = json.loads((made.folder / "contamination.json").read_text(encoding="utf-8"))
    assert sample.pair_id in told[0]["matches"][0]["ours"]
    assert told[0]["vectors_compared"]
    assert "1 of 1 pictures" in (made.folder / "README.md").read_text(encoding="utf-8")
    assert "contamination.json" in (made.folder / "SHA256SUMS").read_text(encoding="utf-8")
    again = make_release(released_home, miniature_recipe, compare_with=[tmp_path / "set"])
    assert not again.made, "the same was found"
