"""Evaluation of a model on what was exported: in this process, served, and by lmms-eval's own calls."""

import importlib
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner
from PIL import Image

from imgdiff_assets.cli.main import main
from imgdiff_assets.export.exporting import export
from imgdiff_assets.export.formats import formats
from imgdiff_assets.export.options import Options
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.training.evaluating import OtherEvaluation, evaluate
from imgdiff_assets.training.held_out import NothingHeldOut, read_items
from tests.answering_server import MODEL, answering

SHARDS = ["shard-000000", "shard-000001"]


@pytest.fixture(scope="module")
def exported(task_home: Home, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("exported") / "hf"
    export(Ledger(task_home.ledger), SHARDS, formats()["hf"], out, Options(), lambda *told: None)
    return out


class Knowing:
    """Answers rightly what it was told, and counts what it is asked."""

    def __init__(self, folder: Path, stop_after: int | None = None) -> None:
        self.answers = {(item.question, item.encoded): item.answer for item in read_items(folder, "train")}
        self.items = read_items(folder, "train")
        self.asked = 0
        self.stop_after = stop_after

    def __call__(self, images: Sequence[Sequence[Any]], questions: Sequence[str]) -> list[str]:
        if self.stop_after is not None and self.asked >= self.stop_after:
            raise KeyboardInterrupt
        told = self.items[self.asked : self.asked + len(questions)]
        assert [item.question for item in told] == list(questions)
        assert all(image.ndim == 3 for shown in images for image in shown)
        self.asked += len(questions)
        return [item.answer for item in told]


def test_who_knows_is_right_in_every_task(exported: Path, tmp_path: Path) -> None:
    items = read_items(exported, "train")
    result = evaluate(
        items, Knowing(exported), {"model": "it", "on": "x", "split": "train"}, tmp_path / "out", print_not
    )
    assert set(result["tasks"]) == {item.task for item in items} > {"difference", "which_image"}
    for task, told in result["tasks"].items():
        assert told["right"] > 0.9, (task, "the verifier may doubt a right difference, and nothing else")
    page = (tmp_path / "out" / "evaluation.html").read_text(encoding="utf-8")
    assert page.count("data:image/png") > 4
    assert 'src="http' not in page
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text(encoding="utf-8"))["items"][0]["said"]


def print_not(what: str, done: int, total: int) -> None:
    pass


def test_a_stopped_evaluation_goes_on_and_another_is_kept_apart(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imgdiff_assets.training.evaluating.ASKED_AT_ONCE", 4)
    items, about = read_items(exported, "train"), {"model": "it", "on": "x", "split": "train"}
    with pytest.raises(KeyboardInterrupt):
        evaluate(items, Knowing(exported, stop_after=8), about, tmp_path / "out", print_not)
    file = tmp_path / "out" / "answers.jsonl"
    file.write_text(file.read_text(encoding="utf-8")[:-9], encoding="utf-8")
    knowing = Knowing(exported)
    knowing.items = knowing.items[7:]
    evaluate(items, knowing, about, tmp_path / "out", print_not)
    assert knowing.asked == len(items) - 7, "what was whole is not asked again"
    with pytest.raises(OtherEvaluation, match="another model"):
        evaluate(items, knowing, {**about, "model": "other"}, tmp_path / "out", print_not)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(OtherEvaluation, match="other files"):
        evaluate(items, knowing, about, tmp_path / "mine", print_not)


def test_a_limit_takes_the_same_questions_whatever_else_there_is(exported: Path) -> None:
    some = read_items(exported, "train", limit=5)
    assert some == read_items(exported, "train")[:5]
    assert {item.task for item in read_items(exported, "train", ["grounding"])} == {"grounding"}


def test_a_place_with_nothing_to_ask_says_what_is_missing(exported: Path, tmp_path: Path) -> None:
    with pytest.raises(NothingHeldOut, match=r"no data/test-\*.parquet; there is train.*name one with --split"):
        read_items(exported, "test")
    with pytest.raises(NothingHeldOut, match="name a release"):
        read_items(tmp_path)
    (tmp_path / "data").mkdir()
    table = pq.read_table(next((exported / "data").glob("train-*.parquet")))
    pq.write_table(table.drop_columns(["answer"]), tmp_path / "data" / "validation-x.parquet")
    with pytest.raises(NothingHeldOut, match=r"validation-x\.parquet: has no column answer"):
        read_items(tmp_path)
    (tmp_path / "data" / "validation-x.parquet").write_bytes(b"PAR1")
    with pytest.raises(NothingHeldOut, match="no whole Parquet file"):
        read_items(tmp_path)


def test_a_served_model_is_asked_with_its_images_by_the_command(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMGDIFF_HOME", str(tmp_path / "home"))
    with answering(lambda request: "A") as (url, requests):
        words = ["evaluate", "--base-url", url, "--on", str(exported), "--split", "train", "--task", "which_image"]
        done = CliRunner().invoke(main, [*words, "--out", str(tmp_path / "out"), "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["model"] == MODEL, "its only model, whose name nobody gave"
    assert told["tasks"]["which_image"]["says_A"] == 1
    content = requests[-1]["messages"][0]["content"]
    assert [part["type"] for part in content] == ["image_url", "image_url", "text"]


def test_lmms_eval_is_given_a_task_that_scores_as_we_do(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMGDIFF_HOME", str(tmp_path / "home"))
    out = tmp_path / "task"
    done = CliRunner().invoke(
        main, ["evaluate", "--lmms-eval", "--on", str(exported), "--split", "train", "--out", str(out)]
    )
    assert done.exit_code == 0, done.output
    monkeypatch.syspath_prepend(str(out))
    code = importlib.import_module("imgdiff_task")
    try:

        class Loader(yaml.SafeLoader):
            pass

        Loader.add_constructor("!function", lambda loader, node: getattr(code, node.value.partition(".")[2]))
        task = yaml.load((out / "imgdiff.yaml").read_text(encoding="utf-8"), Loader)
        files = task["dataset_kwargs"]["data_files"]["test"]
        rows = [row for file in files for row in pq.read_table(file).to_pylist()]
        names = [metric["metric"] for metric in task["metric_list"]]
        values: dict[str, list[Any]] = {name: [] for name in names}
        for row in rows:
            row["images"] = [Image.open(io.BytesIO(image["bytes"])) for image in row["images"]]
            assert len(task["doc_to_visual"](row)) == len(row["images"])
            for name, value in task["process_results"](row, [row["answer"]]).items():
                values[name].append(value)
        means = {m["metric"]: m["aggregation"](values[m["metric"]]) for m in task["metric_list"]}
        assert means == dict.fromkeys(names, 1.0)
        assert len(names) == len({row["task"] for row in rows}) + 1
        wrong = task["process_results"](next(row for row in rows if row["task"] == "which_image"), ["A and B"])
        assert wrong["score"] == 0
    finally:
        for name in ("imgdiff_task", "reward"):
            sys.modules.pop(name, None)


@pytest.mark.slow
def test_the_miniature_is_evaluated_by_the_command(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMGDIFF_HOME", str(tmp_path / "home"))
    words = ["evaluate", "--model", "miniature:captioner", "--on", str(exported), "--split", "train"]
    done = CliRunner().invoke(main, [*words, "--limit", "6", "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert "questions  score" in done.output


def test_a_model_must_be_named(exported: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("IMGDIFF_HOME", str(tmp_path / "home"))
    done = CliRunner().invoke(main, ["evaluate", "--on", str(exported), "--split", "train"])
    assert (done.exit_code, "--model PATH, or --base-url" in done.output) == (2, True)
