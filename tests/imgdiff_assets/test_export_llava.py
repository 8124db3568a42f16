"""An export as a trainer finds it."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from imgdiff_assets.export.folder import ExportError, export_folder
from imgdiff_assets.export.formats import FORMATS, writer
from imgdiff_assets.home import Home
from imgdiff_assets.images import PairImages
from imgdiff_assets.ledger import Ledger
from imgdiff_assets.recipe import Recipe, override_recipe
from imgdiff_assets.regions import draw_box
from imgdiff_assets.samples import Sample, StaleSample, read_samples
from imgdiff_assets.stages.fine_tune_set import STAGE

SHARDS = ["shard-000000", "shard-000001"]


def export(home: Home, out: Path, calls: list[tuple[str, int, int]] | None = None) -> dict[str, int]:
    ledger = Ledger(home.ledger)
    told = [] if calls is None else calls
    return export_folder(
        out,
        "llava",
        lambda folder: writer("llava")(ledger, SHARDS, folder, lambda *progress: told.append(progress)),
    )


def samples_of(home: Home) -> dict[str, tuple[str, Sample]]:
    ledger = Ledger(home.ledger)
    return {sample.sample_id: (shard, sample) for shard in SHARDS for sample in read_samples(ledger, shard)}


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_trainer_finds_every_kept_sample_once(drawn_home: Home, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    calls: list[tuple[str, int, int]] = []
    counts = export(drawn_home, out, calls)
    samples = samples_of(drawn_home)
    seen = {}
    for split in ("train", "validation"):
        entries = json.loads((out / f"{split}.json").read_text(encoding="utf-8"))
        assert len(entries) == counts[split] > 0
        for entry in entries:
            assert set(entry) == {"id", "image", "conversations"}
            assert samples[entry["id"]][1].split == split
            question, answer = entry["conversations"]
            assert (question["from"], answer["from"]) == ("human", "gpt")
            assert question["value"].count("<image>") == len(entry["image"]) == 2
            assert answer["value"] == samples[entry["id"]][1].conversations[1]["value"]
            seen[entry["id"]] = entry
    assert seen.keys() == samples.keys()
    assert calls[-1] == ("export", len(samples), len(samples))
    images = {path for entry in seen.values() for path in entry["image"]}
    assert {path for path in files_of(out) if path.startswith("images/")} == images
    assert all(Path(path).suffix == ".png" and not Path(path).is_absolute() for path in images)


def test_boxes_are_drawn_in_the_exported_images_alone(drawn_home: Home, tmp_path: Path) -> None:
    before = files_of(drawn_home.ledger)
    export(drawn_home, tmp_path / "out")
    for sample_id, (shard, sample) in samples_of(drawn_home).items():
        images = PairImages(Ledger(drawn_home.ledger), shard)
        for side, clean in zip(("source", "target"), images(sample.pair_id), strict=True):
            with Image.open(tmp_path / "out" / "images" / shard / f"{sample_id}_{side}.png") as file:
                drawn = np.asarray(file)
            assert (drawn == draw_box(clean, sample.box)).all()
            x1, y1, x2, y2 = (round(value) for value in sample.box)
            assert (drawn[y1:y2, x1:x2] == clean[y1:y2, x1:x2]).all(), "the frame is outside the region"
            assert (drawn != clean).any()
        images.close()
    assert files_of(drawn_home.ledger) == before


def test_no_caption_is_in_both_splits(drawn_home: Home, tmp_path: Path) -> None:
    export(drawn_home, tmp_path / "out")
    rows = [row for shard in SHARDS for row in Ledger(drawn_home.ledger).read("fine_tune_set", shard).to_pylist()]
    caption_of = {row["sample_id"]: row["caption_id"] for row in rows}
    train, validation = (
        {caption_of[entry["id"]] for entry in json.loads((tmp_path / "out" / f"{split}.json").read_text())}
        for split in ("train", "validation")
    )
    assert train
    assert validation
    assert not train & validation


def test_the_same_samples_give_the_same_bytes_and_replace_an_earlier_export(drawn_home: Home, tmp_path: Path) -> None:
    export(drawn_home, tmp_path / "one")
    export(drawn_home, tmp_path / "two")
    (tmp_path / "two" / "images" / "left over.png").write_bytes(b"")
    export(drawn_home, tmp_path / "two")
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


def test_an_empty_folder_is_taken_and_anything_else_refused(drawn_home: Home, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    export(drawn_home, tmp_path / "empty")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("ten years of work")
    with pytest.raises(ExportError, match="holds other files"):
        export(drawn_home, tmp_path / "mine")
    (tmp_path / "mine" / "export.json").write_text("[1, 2]")
    with pytest.raises(ExportError, match="holds other files"):
        export(drawn_home, tmp_path / "mine")
    with pytest.raises(ExportError, match="is a file"):
        export(drawn_home, tmp_path / "mine" / "thesis.tex")
    with pytest.raises(ExportError, match="holds other files"):
        export(drawn_home, drawn_home.root)
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "ten years of work"


def test_a_failure_leaves_the_earlier_export_whole(own_home: Home, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export(own_home, out)
    before = files_of(out)

    def fail(folder: Path) -> dict[str, int]:
        (folder / "train.json").write_text("[")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        export_folder(out, "llava", fail)
    assert files_of(out) == before
    assert not list(tmp_path.glob(".out*"))


def test_images_made_anew_are_not_exported_with_old_boxes(
    own_home: Home, drawn_recipe: Recipe, run_stages: Any, tmp_path: Path
) -> None:
    reseeded = override_recipe(drawn_recipe, ["seed=1"])
    run_stages(own_home, reseeded, SHARDS, ["image_pairs"])
    with pytest.raises(StaleSample, match=r"older than its images .*`imgdiff run --shards shard-00000"):
        export(own_home, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    run_stages(own_home, reseeded, SHARDS, ["filtered_pairs", "bounding_boxes", "captions", "fine_tune_set"])
    assert sum(export(own_home, tmp_path / "out").values()) > 0


def test_nothing_kept_is_nothing_exported(own_home: Home, tmp_path: Path) -> None:
    shutil.rmtree(own_home.ledger / "fine_tune_set")
    with pytest.raises(ExportError, match="no kept samples to export"):
        export(own_home, tmp_path / "out")
    assert not list(tmp_path.glob("*out*"))


def test_an_answer_cannot_ask_for_a_third_image(own_home: Home, tmp_path: Path) -> None:
    ledger = Ledger(own_home.ledger)
    rows = ledger.read("fine_tune_set", "shard-000001").to_pylist()
    for row in rows:
        row["conversations"][1]["value"] = 'The left <image> is "gone"; </s> 中文.'
    record = ledger.record("fine_tune_set", "shard-000001")
    assert record is not None
    ledger.commit("fine_tune_set", "shard-000001", STAGE.schema, pa.Table.from_pylist(rows), [], record)
    export(own_home, tmp_path / "out")
    texts = [(tmp_path / "out" / f"{split}.json").read_text(encoding="utf-8") for split in ("train", "validation")]
    assert any("中文" in text for text in texts)
    for entry in [entry for text in texts for entry in json.loads(text)]:
        assert sum(turn["value"].count("<image>") for turn in entry["conversations"]) == 2


def test_every_format_has_a_writer() -> None:
    assert set(FORMATS) == {"llava"}
    assert all(callable(writer(name)) for name in FORMATS)
