"""What the readers of exports ask beside the form: rules of trainers that are not installed here are written down."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from imgdiff_assets.export import hf, row_groups
from imgdiff_assets.export.exporting import export as export_samples
from imgdiff_assets.export.folder import partial_of, whole_of
from imgdiff_assets.export.formats import formats
from imgdiff_assets.export.options import Options
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.reading.gathered import gather

FORMATS = formats()
SHARDS = ["shard-000000", "shard-000001"]


def export(home: Home, out: Path, name: str, shards: list[str] = SHARDS, **options: Any) -> dict[str, Any]:
    return export_samples(Ledger(home.ledger), shards, FORMATS[name], out, Options(**options), lambda *told: None)


def shards_of(home: Home, split: str) -> list[str]:
    """The shards with samples of a split."""
    gathered = gather(Ledger(home.ledger), SHARDS).samples
    return [shard for shard, samples in gathered.items() if any(sample.split == split for sample in samples)]


@pytest.fixture
def one_sided_home(task_home: Home, tmp_path: Path) -> Home:
    """The first shard has validation samples alone, the second training samples."""
    ledger = Ledger(Home(tmp_path / "home").ledger)
    for asset in task_home.ledger.iterdir():
        if asset.name.startswith("."):
            continue
        for shard in SHARDS:
            source = Ledger(task_home.ledger).table_path(asset.name, shard)
            target = ledger.table_path(asset.name, shard)
            target.parent.mkdir(parents=True)
            target.write_bytes(source.read_bytes())
    shutil.copytree(task_home.ledger.parent / "parts", tmp_path / "home" / "parts")
    for shard, split in zip(SHARDS, ("validation", "train"), strict=True):
        path = ledger.table_path("fine_tune_set", shard)
        with pq.ParquetFile(path) as file:
            table = file.read()
        pq.write_table(table.filter(np.array(table["split"].to_pylist()) == split), path)
    home = Home(tmp_path / "home")
    assert (shards_of(home, "validation"), shards_of(home, "train")) == (SHARDS[:1], SHARDS[1:])
    return home


@pytest.mark.parametrize("name", [form.name for form in FORMATS.values() if form.entries_are_text])
def test_a_split_without_samples_has_no_file(
    one_sided_home: Home, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    report = export(one_sided_home, tmp_path / "out", name, SHARDS[1:])
    assert report["samples"]["validation"] == 0 < report["samples"]["train"]
    files = {path.stem: str(path) for path in (tmp_path / "out").glob("*.json*") if path.stem in report["samples"]}
    assert files.keys() == {"train"}
    assert len(datasets.load_dataset("json", data_files=files)["train"]) == report["samples"]["train"]
    info = tmp_path / "out" / "dataset_info.json"
    assert not info.exists() or json.loads(info.read_text()).keys() == {"imgdiff_train"}


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_tars_are_numbered_without_a_gap(one_sided_home: Home, tmp_path: Path) -> None:
    import webdataset

    report = export(one_sided_home, tmp_path / "out", "webdataset")
    for split, count in report["samples"].items():
        urls = f"{tmp_path}/out/{split}-{{000000..000000}}.tar"
        assert len(list(webdataset.WebDataset(urls, shardshuffle=False))) == count > 0
    assert not list((tmp_path / "out").glob(".*"))


# Its tools do not know NumPy 2's way of asking for arrays.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_coco_s_tools_make_masks_of_the_boxes(task_home: Home, tmp_path: Path) -> None:
    from pycocotools.coco import COCO

    export(task_home, tmp_path / "out", "coco")
    coco = COCO(str(tmp_path / "out" / "annotations" / "train.json"))
    annotations = coco.loadAnns(coco.getAnnIds())
    assert annotations
    for annotation in annotations:
        ys, xs = np.nonzero(coco.annToMask(annotation))
        x, y, width, height = annotation["bbox"]
        found = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
        assert found == pytest.approx([x, y, x + width, y + height], abs=1)
        assert len(xs) == (found[2] - found[0]) * (found[3] - found[1]), "nothing in the box is left out"


def test_paths_for_swift_lead_to_the_images_from_any_folder(
    task_home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes a path as it is where ROOT_IMAGE_DIR is not set, and wants an `<image>` for each in the messages."""
    monkeypatch.chdir(tmp_path)
    export(task_home, Path("out"), "swift")
    monkeypatch.chdir("/")
    entries = [json.loads(line) for line in (tmp_path / "out" / "train.jsonl").read_text().splitlines()]
    assert entries
    for entry in entries:
        for path in entry["images"]:
            with Image.open(os.path.join(os.environ.get("ROOT_IMAGE_DIR", ""), path)) as image:
                image.verify()
        assert sum(said["content"].count("<image>") for said in entry["messages"]) == len(entry["images"])


def test_where_a_folder_will_be(tmp_path: Path) -> None:
    for name in ("out", ".out", "out.partial", ".partial"):
        assert whole_of(partial_of(tmp_path / name)) == tmp_path / name
    assert whole_of(tmp_path / "out") == tmp_path / "out"


def as_trl_reads(example: dict[str, Any], image_token: str) -> str:
    """TRL's `prepare_multimodal_messages`, a chat template, and the processor's look at what comes of it.

    The first user's text gets a placeholder for each of the `images` before it; then there must be as many as images.
    """
    text = ""
    placed = False
    for said in example["messages"]:
        if said["role"] == "user" and not placed:
            text += image_token * len(example["images"])
            placed = True
        text += said["content"] + "\n"
    if "images" not in example or text.count(image_token) != len(example["images"]):
        raise ValueError(f"Found {text.count(image_token)} {image_token} tokens in the text")
    return text


@pytest.fixture
def loaded(task_home: Home, tmp_path: Path) -> Any:
    import datasets

    export(task_home, tmp_path / "out", "hf")
    return datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"), split="train")


def test_another_set_in_a_folder_of_the_same_name_is_not_what_was_read_before(task_home: Home, tmp_path: Path) -> None:
    import datasets

    read = []
    for number, tasks in enumerate((["difference"], ["which_image"])):
        export(task_home, tmp_path / str(number) / "out", "hf", tasks=tasks)
        folder = str(tmp_path / str(number) / "out")
        read.append(datasets.load_dataset(folder, cache_dir=str(tmp_path / "cache"), split="train"))
    assert [set(rows["task"]) for rows in read] == [{"difference"}, {"which_image"}]


def test_images_stand_beside_the_messages(loaded: Any) -> None:
    for row in loaded:
        assert len(row["images"]) == sum(said["content"].count("<image>") for said in row["messages"]) == 2
        for image, name in zip(row["images"], hf.IMAGES, strict=True):
            assert (np.asarray(image) == np.asarray(row[name])).all()


def test_trl_reads_what_the_card_says_to_give_it(loaded: Any) -> None:
    values: dict[str, Any] = {"train": loaded}
    exec(hf.FOR_TRL, values)
    for example in values["for_trl"]:
        for token in ("<image>", "<|image_pad|>"):
            assert as_trl_reads(example, token).count(token) == 2
    assert values["for_trl"].column_names == loaded.column_names


def test_rows_are_written_a_group_at_a_time(task_home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By their bytes or their number, whichever is reached first."""
    for limit, value in (("ROW_GROUP_ROWS", 3), ("ROW_GROUP_BYTES", 1)):
        with monkeypatch.context() as patched:
            patched.setattr(row_groups, limit, value)
            report = export(task_home, tmp_path / limit, "hf")
        files = [pq.ParquetFile(path) for path in (tmp_path / limit / "data").glob("train-*.parquet")]
        groups = [file.metadata.row_group(number).num_rows for file in files for number in range(file.num_row_groups)]
        assert max(groups) == (3 if limit == "ROW_GROUP_ROWS" else 1)
        assert sum(groups) == report["samples"]["train"]
        for file in files:
            file.close()


@pytest.mark.parametrize("form", FORMATS.values(), ids=lambda form: form.name)
def test_what_is_printed_is_python_whatever_the_folder_is_called(form: Any) -> None:
    folder = 'a "b" \\c\\n\n[ü]'
    assert [text for text in _texts(form.loading_from(folder)) if text.startswith(folder)]


def _texts(source: str) -> Iterator[str]:
    import ast

    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
