"""Preferences: what is rejected is worse than what is chosen, says why, and stands where each trainer looks."""

import json
import re
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from imgdiff_assets.cli.main import main
from imgdiff_assets.export.exporting import export
from imgdiff_assets.export.formats import formats
from imgdiff_assets.export.options import ExportError, Options
from imgdiff_assets.export.preferences import rejected_answers
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.reading.gathered import gather

SHARDS = ["shard-000000", "shard-000001"]
PREFERRED = [name for name, form in formats().items() if form.preference]


def write(home: Home, name: str, out: Path, options: Options) -> Path:
    export(Ledger(home.ledger), SHARDS, formats()[name], out, options, lambda *told: None)
    return out


def test_what_filters_rejected_of_a_pair_comes_before_what_is_only_swapped(task_home: Home) -> None:
    ledger = Ledger(task_home.ledger)
    told = Counter[tuple[str, str]]()
    for shard, samples in gather(ledger, SHARDS).samples.items():
        regions = ledger.read("captions", shard).to_pylist()
        reasons = {(row["pair_id"], row["rejected_by"]) for row in regions if not row["kept"] and row["difference"]}
        found = rejected_answers(ledger, shard, samples)
        for sample in samples:
            worse = found.get(sample.sample_id)
            if worse is None:
                assert sample.task not in ("which_image", "same_or_different")
                continue
            told[sample.task, worse.fault] += 1
            assert worse.answer != sample.answer
            if sample.task == "difference" and any(pair == sample.pair_id for pair, _ in reasons):
                assert (sample.pair_id, worse.fault) in reasons
    assert {task for task, _ in told} == {"difference", "which_image", "same_or_different"}
    assert told["difference", "wrong_side"]
    assert told["which_image", "wrong_choice"]


def test_a_wrong_side_says_of_each_image_what_the_other_shows(drawn_home: Home) -> None:
    ledger = Ledger(drawn_home.ledger)
    samples = gather(ledger, SHARDS).samples
    for shard, of_shard in samples.items():
        for sample_id, worse in rejected_answers(ledger, shard, of_shard).items():
            sample = next(one for one in of_shard if one.sample_id == sample_id)
            if worse.fault == "wrong_side":
                words = (re.findall(r"\w+", text.lower()) for text in (worse.answer, sample.answer))
                assert sorted(next(words)) == sorted(next(words))
                break
        else:
            continue
        break
    else:
        pytest.fail("no answer was swapped")


def test_each_layout_is_as_its_trainer_reads_it(task_home: Home, tmp_path: Path) -> None:
    options = Options(preference=True)
    rows = pq.read_table(next((write(task_home, "hf", tmp_path / "hf", options) / "data").glob("train-*"))).to_pylist()
    for row in rows:
        assert [row[name][-1]["role"] for name in ("prompt", "chosen", "rejected")] == [
            "user",
            "assistant",
            "assistant",
        ]
        assert row["chosen"] != row["rejected"]
        assert len(row["images"]) == 2
        assert row["fault"]
        assert "<image>" not in row["prompt"][0]["content"], "TRL puts them there"
    folder = write(task_home, "sharegpt", tmp_path / "sharegpt", options)
    info = json.loads((folder / "dataset_info.json").read_text())["imgdiff_train"]
    assert info["ranking"] is True
    assert {"chosen", "rejected"} <= set(info["columns"])
    for entry in json.loads((folder / "train.json").read_text()):
        assert entry["messages"][-1]["role"] == "user"
        assert entry["messages"][0]["content"].count("<image>") == len(entry["images"])
        assert entry["chosen"]["content"] != entry["rejected"]["content"]
    folder = write(task_home, "swift", tmp_path / "swift", options)
    for line in (folder / "train.jsonl").read_text().splitlines():
        entry = json.loads(line)
        assert entry["messages"][-1]["content"] != entry["rejected_response"]


@pytest.mark.parametrize("name", PREFERRED)
def test_without_it_nothing_of_it_is_written(name: str, task_home: Home, tmp_path: Path) -> None:
    folder = write(task_home, name, tmp_path / "out", Options())
    written = b"".join(
        path.read_bytes() for path in folder.rglob("*") if path.suffix in (".json", ".jsonl", ".parquet")
    )
    assert b"rejected" not in written
    assert b"preference" not in written


def test_the_command_takes_it_as_a_task_and_others_with_it(
    task_home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMGDIFF_HOME", str(task_home.root))
    words = [
        "export",
        "--format",
        "swift",
        "--task",
        "preference",
        "which_image",
        "--out",
        str(tmp_path / "out"),
        "--json",
    ]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert set(told["tasks"]) == {"which_image"}
    assert told["options"]["preference"] is True
    refused = CliRunner().invoke(
        main, ["export", "--format", "coco", "--task", "preference", "--out", str(tmp_path / "c")]
    )
    assert (refused.exit_code, "no layout of rejected answers" in refused.output) == (1, True)
    with pytest.raises(ExportError, match="no layout"):
        formats()["llava"].options(Options(preference=True))
