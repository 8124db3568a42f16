"""Every export as its users find it: read by the libraries that they read it with."""

import json
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from imgdiff_assets.cli.main import main
from imgdiff_assets.export.exporting import export as export_samples
from imgdiff_assets.export.folder import export_folder
from imgdiff_assets.export.formats import formats
from imgdiff_assets.export.options import ExportError, Options
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.method.regions import draw_box, side_by_side
from imgdiff_assets.method.tasks import SIDES, TASKS, other
from imgdiff_assets.reading.gathered import gather
from imgdiff_assets.reading.samples import Sample, SampleImages, StaleSample
from imgdiff_assets.recipe.overrides import override_recipe
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.fine_tune_set import STAGE

FORMATS = formats()
SHARDS = ["shard-000000", "shard-000001"]
SPLITS = ("train", "validation")
TEXT, PATHS = {"type": "string", "minLength": 1}, {"type": "array", "items": {"type": "string"}}


def export(home: Home, out: Path, name: str = "llava", progress: Any = None, **options: Any) -> dict[str, Any]:
    ledger = Ledger(home.ledger)
    return export_samples(ledger, SHARDS, FORMATS[name], out, Options(**options), progress or (lambda *told: None))


def samples_of(home: Home) -> dict[str, tuple[str, Sample]]:
    gathered = gather(Ledger(home.ledger), SHARDS)
    return {sample.sample_id: (shard, sample) for shard, rows in gathered.samples.items() for sample in rows}


def files_of(folder: Path) -> dict[str, bytes]:
    """The files' contents, but for where the folder is: ms-swift reads whole paths."""
    place = str(folder).encode()
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes().replace(place, b"") for path in files}


def clean_images(home: Home, shard: str, sample: Sample) -> list[np.ndarray]:
    """The two images in the order shown, without boxes."""
    images = SampleImages(Ledger(home.ledger), shard)
    try:
        pair = {image.side: images(image) for image in sample.shown.images}
    finally:
        images.close()
    return [pair[sample.first], pair[other(sample.first)]]


def shown(home: Home, shard: str, sample: Sample) -> list[np.ndarray]:
    """The two images in the order shown, with boxes where a question points at them."""
    images = clean_images(home, shard, sample)
    marked = TASKS[sample.task].marked and sample.box is not None
    return [draw_box(image, sample.box) for image in images] if marked and sample.box else images


def pixels(source: Any) -> np.ndarray:
    with Image.open(source) as file:
        return np.asarray(file.convert("RGB"))


def turn(role_key: str, text_key: str, roles: tuple[str, str]) -> dict[str, Any]:
    """The schema of one question and one answer."""

    def said(role: str) -> dict[str, Any]:
        properties = {role_key: {"const": role}, text_key: TEXT}
        return {"properties": properties, "required": list(properties), "additionalProperties": False}

    return {"type": "array", "prefixItems": [said(role) for role in roles], "minItems": 2, "maxItems": 2}


def entry_schema(**properties: Any) -> dict[str, Any]:
    required = [name for name in properties if name != "objects"]
    entry = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return {"type": "array", "items": entry}


CONVERSATIONS = turn("from", "value", ("human", "gpt"))
MESSAGES = turn("role", "content", ("user", "assistant"))
BOX = {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 4, "maxItems": 4}
OBJECTS = {
    "properties": {"ref": PATHS, "bbox": {"type": "array", "items": BOX}, "bbox_type": {"const": "real"}},
    "required": ["ref", "bbox", "bbox_type", "image_id"],
}
SCHEMAS = {
    "llava": entry_schema(id=TEXT, image=PATHS, conversations=CONVERSATIONS),
    "sharegpt": entry_schema(messages=MESSAGES, images=PATHS),
    "swift": entry_schema(messages=MESSAGES, images=PATHS, objects=OBJECTS),
    "imgdiff": entry_schema(
        path=TEXT,
        bbox={"type": "array", "items": {"type": "number", "minimum": 0, "maximum": 1}, "minItems": 4, "maxItems": 4},
        captions1=TEXT,
        captions2=TEXT,
        conversations=CONVERSATIONS,
    ),
}


def read_entries(out: Path, name: str, split: str) -> list[dict[str, Any]]:
    if name == "swift":
        return [json.loads(line) for line in (out / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()]
    entries: list[dict[str, Any]] = json.loads((out / f"{split}.json").read_text(encoding="utf-8"))
    return entries


@pytest.mark.parametrize("name", SCHEMAS)
def test_conversations_have_the_trainers_form(task_home: Home, tmp_path: Path, name: str) -> None:
    report = export(task_home, tmp_path / "out", name)
    for split in SPLITS:
        entries = read_entries(tmp_path / "out", name, split)
        jsonschema.validate(entries, SCHEMAS[name])
        assert len(entries) == report["samples"][split]
        for entry in entries:
            said = [text for one in entry.get("conversations") or entry["messages"] for text in one.values()]
            images = entry.get("image") or entry.get("images") or [f"{entry['path']}_{n}.jpg" for n in (0, 1)]
            assert sum(text.count("<image>") for text in said) == len(images) == 2
            assert all((tmp_path / "out" / path).is_file() for path in images)
            objects = entry.get("objects", {"bbox": []})
            assert sum(text.count("<bbox>") for text in said) == len(objects["bbox"])
    assert sum(report["samples"].values()) > 0


def test_a_trainer_finds_every_kept_sample_once_with_its_images(task_home: Home, tmp_path: Path) -> None:
    before = files_of(task_home.ledger)
    calls: list[tuple[str, int, int]] = []
    report = export(task_home, tmp_path / "out", progress=lambda *told: calls.append(told))
    samples = samples_of(task_home)
    entries = {
        entry["id"]: (split, entry) for split in SPLITS for entry in read_entries(tmp_path / "out", "llava", split)
    }
    assert entries.keys() == samples.keys()
    assert calls[-1] == ("export", len(samples), len(samples))
    assert {done for _, done, _ in calls} == set(range(1, len(samples) + 1))
    assert sum(report["tasks"].values()) == len(samples)
    for sample_id, (shard, sample) in samples.items():
        split, entry = entries[sample_id]
        assert split == sample.split
        assert entry["conversations"][1]["value"] == sample.answer
        found = [pixels(tmp_path / "out" / path) for path in entry["image"]]
        for image, expected in zip(found, shown(task_home, shard, sample), strict=True):
            assert (image == expected).all()
    assert files_of(task_home.ledger) == before, "boxes are drawn in the export alone"


def test_one_picture_for_models_that_read_one(task_home: Home, tmp_path: Path) -> None:
    export(task_home, tmp_path / "out", single=True)
    samples = samples_of(task_home)
    for split in SPLITS:
        for entry in read_entries(tmp_path / "out", "llava", split):
            shard, sample = samples[entry["id"]]
            question = entry["conversations"][0]["value"]
            assert question.count("<image>") == 1
            assert "the first on the left" in question
            left, right = shown(task_home, shard, sample)
            picture = pixels(tmp_path / "out" / entry["image"])
            assert (picture == side_by_side(left, right, 20)).all()


def test_clean_images_and_the_place_in_words(task_home: Home, tmp_path: Path) -> None:
    export(task_home, tmp_path / "out", boxes=False)
    samples = samples_of(task_home)
    told = 0
    for split in SPLITS:
        for entry in read_entries(tmp_path / "out", "llava", split):
            shard, sample = samples[entry["id"]]
            question = entry["conversations"][0]["value"]
            assert "red box" not in question
            told += "inside the box [0." in question
            for path, expected in zip(entry["image"], clean_images(task_home, shard, sample), strict=True):
                assert (pixels(tmp_path / "out" / path) == expected).all()
    assert told == sum(TASKS[sample.task].marked for _, sample in samples.values())


def test_llama_factory_finds_the_files_by_dataset_info(task_home: Home, tmp_path: Path) -> None:
    import datasets

    report = export(task_home, tmp_path / "out", "sharegpt")
    info = json.loads((tmp_path / "out" / "dataset_info.json").read_text())
    for split in SPLITS:
        told = info[f"imgdiff_{split}"]
        columns = told["columns"]
        rows = datasets.Dataset.from_json(str(tmp_path / "out" / told["file_name"]), cache_dir=str(tmp_path / "cache"))
        assert len(rows) == report["samples"][split]
        assert set(rows.column_names) == set(columns.values())
        tags = told["tags"]
        for row in rows:
            roles = [message[tags["role_tag"]] for message in row[columns["messages"]]]
            assert roles == [tags["user_tag"], tags["assistant_tag"]]


def test_hugging_face_datasets_reads_the_folder(task_home: Home, tmp_path: Path) -> None:
    import datasets
    from huggingface_hub import DatasetCard

    report = export(task_home, tmp_path / "out", "hf")
    data = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert {split: len(data[split]) for split in data} == report["samples"]
    samples = samples_of(task_home)
    seen = set()
    for split in data:
        features = data[split].features
        assert isinstance(features["image_1"], datasets.Image)
        assert isinstance(features["image_2"], datasets.Image)
        for row in data[split]:
            shard, sample = samples[row["sample_id"]]
            seen.add(row["sample_id"])
            assert sample.split == split
            assert row["answer"] == sample.answer
            assert row["box"] == (None if sample.box is None else list(sample.box))
            for number, expected in enumerate(shown(task_home, shard, sample), 1):
                assert (np.asarray(row[f"image_{number}"].convert("RGB")) == expected).all()
    assert seen == samples.keys()
    card = DatasetCard.load(tmp_path / "out" / "README.md")
    assert [files["split"] for files in card.data.configs[0]["data_files"]] == list(SPLITS)
    assert card.data.size_categories == ["n<1K"]


# The reader leaves closing its files to the garbage collector.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_webdataset_reads_the_shards(task_home: Home, tmp_path: Path) -> None:
    import webdataset

    export(task_home, tmp_path / "out", "webdataset")
    samples = samples_of(task_home)
    numbers = {
        split: sorted({shard for shard, sample in samples.values() if sample.split == split}) for split in SPLITS
    }
    seen = set()
    for path in sorted((tmp_path / "out").glob("*.tar")):
        for record in webdataset.WebDataset(str(path), shardshuffle=False).decode("rgb8"):
            shard, sample = samples[record["__key__"]]
            seen.add(record["__key__"])
            assert path.name == f"{sample.split}-{numbers[sample.split].index(shard):06d}.tar"
            assert record["json"]["answer"] == sample.answer
            images = [record["first.png"], record["second.png"]]
            for image, expected in zip(images, shown(task_home, shard, sample), strict=True):
                assert (image == expected).all()
    assert seen == samples.keys()


def test_pycocotools_reads_the_boxes(task_home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from pycocotools.coco import COCO

    export(task_home, tmp_path / "out", "coco")
    regions = {
        sample.region_id: (shard, sample)
        for shard, sample in samples_of(task_home).values()
        if sample.box and not sample.erased_from
    }
    seen: list[tuple[str, str]] = []
    for split in SPLITS:
        coco = COCO(str(tmp_path / "out" / "annotations" / f"{split}.json"))
        for annotation in coco.loadAnns(coco.getAnnIds()):
            shard, sample = regions[annotation["region_id"]]
            (image,) = coco.loadImgs(annotation["image_id"])
            (category,) = coco.loadCats(annotation["category_id"])
            side = annotation["side"]
            seen.append((annotation["region_id"], side))
            assert sample.box is not None
            x1, y1, x2, y2 = sample.box
            assert annotation["bbox"] == pytest.approx([x1, y1, x2 - x1, y2 - y1], abs=0.01)
            assert annotation["area"] == pytest.approx((x2 - x1) * (y2 - y1), abs=0.5)
            assert category["name"] == getattr(sample, f"{side}_object")
            by_side = dict(
                zip((sample.first, other(sample.first)), clean_images(task_home, shard, sample), strict=True)
            )
            assert (pixels(tmp_path / "out" / image["file_name"]) == by_side[side]).all()
            assert (image["width"], image["height"]) == by_side[side].shape[1::-1]
    assert sorted(seen) == sorted((region, side) for region in regions for side in SIDES)


def test_the_released_layout_is_a_drop_in(task_home: Home, tmp_path: Path) -> None:
    report = export(task_home, tmp_path / "out", "imgdiff")
    regions = {s.region_id: (shard, s) for shard, s in samples_of(task_home).values() if s.task == "difference"}
    assert set(report["tasks"]) == {"difference"}
    found = [entry for split in SPLITS for entry in read_entries(tmp_path / "out", "imgdiff", split)]
    assert len(found) == len(regions)
    for entry in found:
        shard, sample = regions[Path(entry["path"]).name]
        assert (entry["captions1"], entry["captions2"]) == (sample.source_region_caption, sample.target_region_caption)
        for number, expected in enumerate(shown(task_home, shard, sample)):
            image = pixels(tmp_path / "out" / f"{entry['path']}_{number}.jpg")
            assert image.shape == expected.shape
            assert np.abs(image.astype(int) - expected).mean() < 6, "the same picture, but for the JPEG encoding"
        red = pixels(tmp_path / "out" / f"{entry['path']}_0.jpg").astype(int)
        assert ((red[..., 0] > 200) & (red[..., 1:].max(axis=-1) < 60)).sum() > 50, "the red box is in the picture"


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_samples_give_the_same_bytes(task_home: Home, tmp_path: Path, name: str) -> None:
    tasks = None if FORMATS[name].tasks else ("grounding", "difference")
    export(task_home, tmp_path / "one", name, tasks=tasks)
    export(task_home, tmp_path / "two", name, tasks=tasks)
    (tmp_path / "two" / "left over.png").write_bytes(b"")
    export(task_home, tmp_path / "two", name, tasks=tasks)
    one = files_of(tmp_path / "one")
    assert one == files_of(tmp_path / "two")
    assert len(one) > 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


@pytest.mark.parametrize("name", FORMATS)
def test_an_interrupted_export_goes_on_where_it_was(
    task_home: Home, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(task_home, tmp_path / "whole", name)
    shards = gather(Ledger(task_home.ledger), SHARDS, FORMATS[name].tasks).samples
    first = len(shards[SHARDS[0]])

    def interrupt(what: str, done: int, total: int) -> None:
        if done > first:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(task_home, tmp_path / "out", name, progress=interrupt)
    assert not (tmp_path / "out").exists()
    opened: list[str] = []
    real: Callable[..., None] = SampleImages.__init__

    def note(self: SampleImages, ledger: Ledger, shard: str) -> None:
        opened.append(shard)
        real(self, ledger, shard)

    monkeypatch.setattr(SampleImages, "__init__", note)
    export(task_home, tmp_path / "out", name)
    assert opened == SHARDS[1:], "the first shard was done"
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "whole"]


def test_what_another_plan_left_is_not_gone_on_with(task_home: Home, tmp_path: Path) -> None:
    def interrupt(what: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(task_home, tmp_path / "out", progress=interrupt)
    export(task_home, tmp_path / "out", boxes=False, tasks=("grounding",))
    export(task_home, tmp_path / "fresh", boxes=False, tasks=("grounding",))
    assert files_of(tmp_path / "out") == files_of(tmp_path / "fresh")


def test_a_killed_export_leaves_the_earlier_one_and_goes_on(task_home: Home, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export(task_home, out, tasks=("difference",))
    before = files_of(out)
    program = textwrap.dedent(f"""
        import os
        from pathlib import Path
        from imgdiff_assets.export import hf
        from imgdiff_assets.export.exporting import export
        from imgdiff_assets.export.options import Options
        from imgdiff_assets.ledger.ledger import Ledger

        def die(what, done, total):
            if done == 5:
                os.kill(os.getpid(), 9)

        export(Ledger(Path({str(task_home.ledger)!r})), {SHARDS!r}, hf.FORMAT, Path({str(out)!r}), Options(), die)
    """)
    killed = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True)
    assert killed.returncode == -9, killed.stderr
    assert files_of(out) == before
    export(task_home, out, "hf")
    export(task_home, tmp_path / "fresh", "hf")
    assert files_of(out) == files_of(tmp_path / "fresh")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fresh", "out"]


def test_killed_between_two_renames_the_earlier_export_is_not_lost(task_home: Home, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export(task_home, out, tasks=("difference",))
    before = files_of(out)
    program = textwrap.dedent(f"""
        import os
        from pathlib import Path
        from imgdiff_assets.export import folder

        real = os.replace

        def die_after(source, target):
            if target == Path({str(out)!r}):
                os.kill(os.getpid(), 9)
            real(source, target)

        os.replace = die_after
        folder.export_folder(Path({str(out)!r}), "a plan", lambda place: {{"samples": {{"train": 1}}}})
    """)
    killed = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True)
    assert killed.returncode == -9, killed.stderr
    assert not out.exists()

    def fail(folder: Path) -> dict[str, Any]:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        export_folder(out, "another plan", fail)
    assert files_of(out) == before
    export(task_home, out)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_two_exports_to_one_folder_do_not_mix(task_home: Home, tmp_path: Path) -> None:
    def nested(what: str, done: int, total: int) -> None:
        with pytest.raises(ExportError, match="another export is writing it"):
            export(task_home, tmp_path / "out", "coco")

    export(task_home, tmp_path / "out", progress=nested, tasks=("grounding",))
    assert json.loads((tmp_path / "out" / "export.json").read_text())["format"] == "llava"


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

    def fail(folder: Path) -> dict[str, Any]:
        (folder / "train.json").write_text("[")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        export_folder(out, "a plan", fail)
    assert files_of(out) == before


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("coco", {"single": True}, "has two images"),
        ("imgdiff", {"boxes": False}, "has red boxes"),
        ("imgdiff", {"tasks": ("grounding",)}, "has only the task difference"),
    ],
)
def test_options_that_a_format_does_not_have_are_refused(
    drawn_home: Home, tmp_path: Path, name: str, options: dict[str, Any], expected: str
) -> None:
    with pytest.raises(ExportError, match=expected):
        export(drawn_home, tmp_path / "out", name, **options)
    assert not list(tmp_path.iterdir())


def test_images_made_anew_are_not_exported_with_old_boxes(
    own_home: Home, drawn_recipe: Recipe, run_stages: Any, tmp_path: Path
) -> None:
    reseeded = override_recipe(drawn_recipe, ["seed=1"])
    run_stages(own_home, reseeded, SHARDS, ["image_pairs"])
    with pytest.raises(StaleSample, match=r"older than its images .*`imgdiff run --shards shard-00000"):
        export(own_home, tmp_path / "out")
    assert not list(tmp_path.glob("*out*"))


def test_without_samples_there_is_no_export(own_home: Home, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="no kept samples of grounding"):
        export(own_home, tmp_path / "out", tasks=("grounding",))
    shutil.rmtree(own_home.ledger / "fine_tune_set")
    with pytest.raises(ExportError, match="no kept samples to export"):
        export(own_home, tmp_path / "out")
    assert not list(tmp_path.glob("*out*"))


def test_an_answer_cannot_ask_for_a_third_image(own_home: Home, tmp_path: Path) -> None:
    ledger = Ledger(own_home.ledger)
    table = ledger.read("fine_tune_set", "shard-000001")
    rows = [{**row, "answer": 'The left <image> is "gone" <bbox>; 中文.</s>'} for row in table.to_pylist()]
    record = ledger.record("fine_tune_set", "shard-000001")
    assert record is not None
    ledger.commit(
        "fine_tune_set", "shard-000001", STAGE.schema, type(table).from_pylist(rows, table.schema), [], record
    )
    export(own_home, tmp_path / "out", "swift")
    entries = [entry for split in SPLITS for entry in read_entries(tmp_path / "out", "swift", split)]
    assert any("中文" in entry["messages"][1]["content"] for entry in entries)
    for entry in entries:
        texts = [message["content"] for message in entry["messages"]]
        assert sum(text.count("<image>") for text in texts) == 2
        assert sum(text.count("<bbox>") for text in texts) == 0


def test_near_duplicates_of_another_shards_validation_are_left_out(
    own_home: Home, task_recipe: Recipe, run_stages: Any, tmp_path: Path
) -> None:
    """Nothing moves: the ledger's rows are as they were, and of the export only training samples are missing."""
    near = override_recipe(task_recipe, ["fine_tune_set.max_validation_similarity=0.2"])
    run_stages(own_home, near, SHARDS, ["captions", "fine_tune_set"])
    ledger = Ledger(own_home.ledger)
    each = {shard: gather(ledger, [shard]) for shard in SHARDS}
    assert not any(gathered.left_out for gathered in each.values()), "a shard's own filter has seen to that"
    together = gather(ledger, SHARDS)
    kept = {sample.sample_id for sample in together}
    gone = [sample for gathered in each.values() for sample in gathered if sample.sample_id not in kept]
    assert {sample.sample_id for sample in gone} == {sample.sample_id for sample in together.left_out}
    assert all(sample.split == "train" for sample in gone)
    assert gone, "the limit is so low that some must be near"
    report = export(own_home, tmp_path / "out")
    assert [found["sample_id"] for found in report["near_duplicates_left_out"]] == [
        found.sample_id for found in together.left_out
    ]


def test_the_command_exports_and_teaches(task_home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMGDIFF_HOME", str(task_home.root))
    told = CliRunner().invoke(main, ["export", "--help"]).output
    assert all(name in told for name in (*FORMATS, *TASKS))
    asked = [
        "export",
        "--format",
        "coco",
        "--task",
        "grounding",
        "difference",
        "--out",
        str(tmp_path / "out"),
        "--json",
    ]
    report = json.loads(CliRunner().invoke(main, asked).stdout)
    assert set(report["tasks"]) == {"grounding", "difference"}
    assert report["out"] == str(tmp_path / "out")
    wrong = CliRunner().invoke(main, ["export", "--format", "hf", "--task", "ground", "--out", str(tmp_path / "no")])
    assert (wrong.exit_code, "did you mean 'grounding'?" in wrong.output) == (1, True)
