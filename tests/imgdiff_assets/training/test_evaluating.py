"""Evaluation of a model on what was exported: in this process, served, and by lmms-eval's own calls."""

import ast
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner

from imgdiff_assets.cli.main import main
from imgdiff_assets.export.exporting import export
from imgdiff_assets.export.formats import formats
from imgdiff_assets.export.options import Options
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.training.evaluating import OtherEvaluation, evaluate
from imgdiff_assets.training.held_out import NothingHeldOut, read_items
from imgdiff_assets.training.lmms_task import write_task
from imgdiff_assets.training.scoring import score
from imgdiff_assets.training.summary import summary
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
    # Cut in its rows and not in what is told of them, which Arrow says otherwise.
    whole = next((exported / "data").glob("train-*.parquet")).read_bytes()
    (tmp_path / "data" / "validation-x.parquet").write_bytes(
        whole[:4] + bytes(len(whole) // 2) + whole[4 + len(whole) // 2 :]
    )
    with pytest.raises(NothingHeldOut, match="no whole Parquet file"):
        read_items(tmp_path)
    item = replace(read_items(exported, "train", limit=1)[0], encoded=(b"no picture",))
    with pytest.raises(NothingHeldOut, match=f"{item.sample_id}: an image of it cannot be read"):
        assert item.images


def test_a_release_that_is_not_there_is_told_with_those_that_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMGDIFF_HOME", str(tmp_path))
    words = ["evaluate", "--model", "miniature:captioner", "--on", "7"]
    assert "no folder and no release; releases" in CliRunner().invoke(main, words).output
    for there in ("3", "10"):
        (tmp_path / "releases" / there).mkdir(parents=True)
        (tmp_path / "releases" / there / "release.json").write_text(f'{{"number": {there}}}')
    assert ": 3, 10." in CliRunner().invoke(main, words).output


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


ASKED_ALONE = """
import json, sys
import pyarrow.parquet as pq
sys.path.insert(0, sys.argv[1])
import imgdiff_task
import imgdiff_assets.training.scoring
ours = [module.__file__ for name, module in sys.modules.items() if name.startswith("imgdiff_assets")]
assert all(file.startswith(sys.argv[1]) for file in ours), ours
rows = pq.read_table(sys.argv[1] + "/questions.parquet").to_pylist()
said = [row["answer"] for row in rows], ["A", "a dog"] * len(rows)
scores = [[imgdiff_task.process_results(row, [text]) for row, text in zip(rows, texts)] for texts in said]
means = {name: imgdiff_task.mean([each[name] for each in scores[1]]) for name in scores[1][0]}
print(json.dumps([[row["sample_id"] for row in rows], [[each["score"] for each in told] for told in scores], means]))
"""


def test_lmms_eval_is_given_the_same_questions_and_scores_them_by_a_copy_of_the_same_code(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMGDIFF_HOME", str(tmp_path / "home"))
    out = tmp_path / "task"
    words = ["evaluate", "--lmms-eval", "--on", str(exported), "--split", "train", "--out", str(out)]
    done = CliRunner().invoke(main, [*words, "--limit", "30", "--max-new-tokens", "12"])
    assert done.exit_code == 0, done.output
    assert f"{out / 'imgdiff.yaml'}: lmms-eval --model MODEL" in done.stdout
    items = read_items(exported, "train", limit=30)
    alone = [sys.executable, "-c", ASKED_ALONE, str(out)]
    told = subprocess.run(alone, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    ids, scores, means = json.loads(told)
    assert ids == [item.sample_id for item in items]
    said = [item.answer for item in items], ["A", "a dog"] * len(items)
    expected = [[score(item, text) for item, text in zip(items, texts, strict=False)] for texts in said]
    assert scores == expected
    assert 0 < means["score"] < 1
    for task, of_task in summary(items, expected[1], said[1]).items():
        assert means[task] == pytest.approx(of_task["score"])


def test_a_task_of_lmms_eval_names_what_is_there_and_its_pictures_are_read(exported: Path, tmp_path: Path) -> None:
    import datasets

    out = tmp_path / "task"
    items = read_items(exported, "train", ["which_image"])
    write_task(items, 12, out)

    class Loader(yaml.SafeLoader):
        pass

    Loader.add_constructor("!function", lambda loader, node: node.value)
    task = yaml.load((out / "imgdiff.yaml").read_text(encoding="utf-8"), Loader)
    code = ast.parse((out / "imgdiff_task.py").read_text(encoding="utf-8"))
    named = {f"imgdiff_task.{each.name}" for each in code.body if isinstance(each, ast.FunctionDef)}
    assert {task[name] for name in ("doc_to_visual", "doc_to_text", "process_results")} < named
    assert [metric["metric"] for metric in task["metric_list"]] == ["score", "which_image"]
    assert task["generation_kwargs"]["max_new_tokens"] == 12
    read = datasets.load_dataset(
        task["dataset_path"], cache_dir=str(tmp_path / "cache"), split="test", **task["dataset_kwargs"]
    )
    assert len(read) == len(items) > 1
    for row, item in zip(read, items, strict=True):
        for picture, image in zip(row["images"], item.images, strict=True):
            np.testing.assert_array_equal(np.asarray(picture.convert("RGB")), image)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(OtherEvaluation, match="other files"):
        write_task(items, 12, tmp_path / "mine")


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
