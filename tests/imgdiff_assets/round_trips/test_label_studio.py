"""Samples as tasks of Label Studio, and its annotations as verdicts and corrections."""

import copy
import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from PIL import Image

from imgdiff_assets.cli.main import main
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.corrections import BOX, counting
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.reviews import read_reviews
from imgdiff_assets.reading.gathered import gather
from imgdiff_assets.round_trips.annotations import take_annotations
from imgdiff_assets.round_trips.label_studio import LabelStudioError, write_tasks
from imgdiff_assets.round_trips.labelling import config
from imgdiff_assets.round_trips.reviewable import regions_of

REASONS = ["wrong side", 'not "right"', "other"]
Task = dict[str, Any]


def tasks_of(home: Home, folder: Path) -> list[Task]:
    written = write_tasks(home, REASONS, folder)
    tasks: list[Task] = json.loads(Path(written["file"]).read_text(encoding="utf-8"))
    assert len(tasks) == written["tasks"]
    return tasks


def annotated(task: Task, *changes: Task, by: Any = 1, at: str = "2026-01-02T00:00:00Z", **more: Any) -> Task:
    """The task as Label Studio gives it back: its predictions taken over, with some results in their place or new."""
    results = copy.deepcopy(task.get("predictions", [{"result": []}])[0]["result"])
    names = [change["from_name"] for change in changes]
    results = [result for result in results if result["from_name"] not in names] + list(changes)
    annotation = {"id": 7, "completed_by": by, "updated_at": at, "was_cancelled": False, "result": results, **more}
    return {**task, "id": 1, "annotations": [annotation]}


def choice(control: str, value: str) -> Task:
    return {"from_name": control, "to_name": "question", "type": "choices", "value": {"choices": [value]}}


def text(control: str, value: str) -> Task:
    return {"from_name": control, "to_name": "question", "type": "textarea", "value": {"text": [value]}}


def moved(task: Task, control: str, **per_cent: float) -> Task:
    (result,) = (each for each in task["predictions"][0]["result"] if each["from_name"] == control)
    return {**result, "value": {**result["value"], **per_cent}}


def given(tmp_path: Path, *tasks: Task) -> Path:
    (tmp_path / "project.json").write_text(json.dumps(tasks), encoding="utf-8")
    return tmp_path / "project.json"


def with_region(tasks: list[Task]) -> Task:
    return next(task for task in tasks if "predictions" in task)


def test_every_sample_is_a_task_once(own_home: Home, tmp_path: Path) -> None:
    tasks = tasks_of(own_home, tmp_path / "tasks")
    shards = ["shard-000000", "shard-000001"]
    kept = gather(Ledger(own_home.ledger), shards)
    assert {one.sample_id for one in kept} <= {task["data"]["sample_id"] for task in tasks}
    assert len({task["data"]["sample_id"] for task in tasks}) == len(tasks)
    for task in tasks:
        for picture in ("first_image", "second_image"):
            prefix, _, path = task["data"][picture].partition("?d=tasks/")
            assert prefix == "/data/local-files/"
            Image.open(tmp_path / "tasks" / path).verify()
    assert write_tasks(own_home, REASONS, tmp_path / "tasks") == {"file": "", "tasks": 0}
    again = write_tasks(own_home, REASONS, tmp_path / "tasks", again=True)
    assert (Path(again["file"]).name, again["tasks"]) == ("tasks-2.json", len(tasks))


def test_the_interface_has_every_control_that_tasks_speak_of(own_home: Home, tmp_path: Path) -> None:
    tasks = tasks_of(own_home, tmp_path / "tasks")
    tree = ElementTree.fromstring((tmp_path / "tasks" / "config.xml").read_text(encoding="utf-8"))
    controls = {each.get("name"): each for each in tree.iter() if each.get("toName")}
    values = {each.get("value", "")[1:] for each in tree.iter() if each.get("value", "").startswith("$")}
    assert values <= set(tasks[0]["data"])
    results = [result for task in tasks for each in task.get("predictions", ()) for result in each["result"]]
    assert results
    for result in results:
        control = controls[result["from_name"]]
        assert (control.get("toName"), control.tag.lower()) == (result["to_name"], result["type"])
    assert [each.get("value") for each in controls["reason"]] == REASONS


def test_what_is_annotated_comes_in_as_verdict_and_correction(own_home: Home, tmp_path: Path) -> None:
    task = with_region(tasks_of(own_home, tmp_path / "tasks"))
    ledger, data = Ledger(own_home.ledger), task["data"]
    sample = next(one for one in gather(ledger, [data["shard"]]) if one.sample_id == data["sample_id"])
    region = regions_of(ledger, data["shard"])[str(sample.region_id)]
    back = annotated(
        task,
        choice("verdict", "reject"),
        choice("reason", "wrong side"),
        text("difference_caption", "the left shows a bird"),
        moved(task, "box_in_second", x=10.0, y=20.0, width=30.0, height=40.0),
        by={"id": 3, "email": "ann@example.org"},
    )
    file = given(tmp_path, back, back)
    taken = take_annotations(own_home, file)
    assert (taken.reviews, taken.corrections, taken.refused) == (1, 1, [])
    review = read_reviews(own_home).by_sample[data["sample_id"]]["ann@example.org"]
    assert (review.verdict, review.reason, review.first) == ("reject", "wrong side", data["first"])
    said = counting(own_home, data["shard"])[region.region_id]
    assert set(said) == {BOX, "difference_caption"}
    w, h = region.width, region.height
    assert said[BOX].values[BOX] == pytest.approx((0.1 * w, 0.2 * h, 0.4 * w, 0.6 * h), abs=0.01)
    assert said[BOX].before[BOX] == pytest.approx(region.found[BOX])
    assert take_annotations(own_home, file).known == 1
    assert take_annotations(own_home, file).corrections == 0

    as_found = annotated(task, choice("verdict", "accept"), by={"email": "ann@example.org"})
    taken = take_annotations(own_home, given(tmp_path, as_found))
    assert (taken.reviews, taken.corrections) == (1, 1), "as it was found again takes the correction back"
    assert counting(own_home, data["shard"]) == {}


def test_of_one_person_the_latest_annotation_counts(own_home: Home, tmp_path: Path) -> None:
    task = with_region(tasks_of(own_home, tmp_path / "tasks"))
    late = annotated(task, choice("verdict", "reject"), at="2026-03-01T00:00:00Z")
    early = annotated(task, choice("verdict", "accept"), at="2026-02-01T00:00:00Z")
    other = annotated(task, choice("verdict", "accept"), by=2)
    assert take_annotations(own_home, given(tmp_path, late, early, other)).reviews == 2
    said = read_reviews(own_home).by_sample[task["data"]["sample_id"]]
    assert {who: review.verdict for who, review in said.items()} == {"annotator 1": "reject", "annotator 2": "accept"}


def test_what_says_nothing_changes_nothing(own_home: Home, tmp_path: Path) -> None:
    one, *others = tasks_of(own_home, tmp_path / "tasks")
    skipped = annotated(one, choice("verdict", "accept"), was_cancelled=True)
    taken = take_annotations(own_home, given(tmp_path, skipped, *others[:1]))
    assert (taken.reviews, taken.corrections, taken.empty, taken.refused) == (0, 0, 2, [])


def test_what_cannot_be_taken_is_told(own_home: Home, tmp_path: Path) -> None:
    task = with_region(tasks_of(own_home, tmp_path / "tasks"))
    first, second = (moved(task, control, x=at) for control, at in (("box_in_first", 1.0), ("box_in_second", 30.0)))
    turned = moved(task, "box_in_first", rotation=12)
    flat = moved(task, "box_in_first", width=0.0)
    gone = {**task, "data": {**task["data"], "sample_id": "gone"}}
    accept = choice("verdict", "accept")
    cases = [
        (annotated(task, accept, first, second), BOX),
        (annotated(task, accept, turned), "box_in_first"),
        (annotated(task, accept, flat), BOX),
        (annotated(task, choice("verdict", "maybe")), "verdict"),
        (annotated(gone, accept), "sample_id"),
        (annotated(task, accept, by=None), "reviewer"),
    ]
    for case, field in cases:
        taken = take_annotations(own_home, given(tmp_path, case))
        assert [each.field for each in taken.refused] == [field], case
        assert (taken.reviews, taken.corrections) == (0, 0)


@pytest.mark.parametrize("content", ["{", "{}", '[{"sample_id": "a"}]', '[{"data": {}}]'])
def test_a_file_that_is_no_export_is_told(content: str, own_home: Home, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text(content, encoding="utf-8")
    with pytest.raises(LabelStudioError, match=r"bad\.json"):
        take_annotations(own_home, tmp_path / "bad.json")


def test_the_commands(own_home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMGDIFF_HOME", str(own_home.root))

    def run(*words: str) -> str:
        result = CliRunner().invoke(main, ["reviews", *words])
        assert result.exit_code == 0, result.output
        return result.output

    assert "tasks-1.json" in run("to-label-studio", str(tmp_path / "tasks"))
    assert "Nothing new" in run("to-label-studio", str(tmp_path / "tasks"))
    tasks = json.loads((tmp_path / "tasks" / "tasks-1.json").read_text(encoding="utf-8"))
    file = given(tmp_path, annotated(tasks[0], choice("verdict", "accept")))
    assert "1 new verdict" in run("from-label-studio", str(file), "--reviewer", "Ann")
    assert '"not &quot;right&quot;"' in config(REASONS) or "'not \"right\"'" in config(REASONS)
