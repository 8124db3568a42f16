"""Configurations of trainers name what is there, and refuse a folder that the trainer does not read."""

import ast
import json
import shlex
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from benchmarks.trainers.readme import told
from imgdiff_assets.cli.main import main
from imgdiff_assets.export.exporting import export
from imgdiff_assets.export.formats import formats
from imgdiff_assets.export.options import Options
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.training.config import TRAINERS, write_config
from imgdiff_assets.training.wish import NoConfiguration, Wish

MODEL = "Qwen/Qwen2.5-VL-3B-Instruct"


@pytest.fixture(scope="module")
def folders(drawn_home: Home, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An export of each format that a trainer reads."""
    root, found = tmp_path_factory.mktemp("folders"), {}
    for trainer in TRAINERS.values():
        found[trainer.reads] = root / trainer.reads
        shards = ["shard-000000", "shard-000001"]
        form = formats()[trainer.reads]
        export(Ledger(drawn_home.ledger), shards, form, found[trainer.reads], Options(), lambda *told: None)
    return found


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("cards", [1, 4])
@pytest.mark.parametrize("name", list(TRAINERS))
def test_each_configuration_can_be_read_and_names_what_is_there(
    name: str, cards: int, full: bool, folders: dict[str, Path], tmp_path: Path
) -> None:
    trainer = TRAINERS[name]
    folder = folders[trainer.reads]
    wish = Wish(MODEL, folder, tmp_path / "out", full=full, cards=cards)
    files = {file.name: file.read_text(encoding="utf-8") for file in write_config(name, wish)}
    text = "\n".join(files.values())
    assert MODEL in text
    assert str(folder) in text
    assert ("zero3" in text + trainer.command(wish)) == (full and cards > 1)
    assert ("lora" in text.lower()) != full
    if name == "llama-factory":
        values = yaml.safe_load(files["train.yaml"])
        info = json.loads((folder / "dataset_info.json").read_text(encoding="utf-8"))
        assert {values["dataset"], values.get("eval_dataset", values["dataset"])} <= set(info)
        assert values["cutoff_len"] > 2 * values["image_max_pixels"] / 28**2, "two images fit"
    if name == "ms-swift":
        words = shlex.split(files["train.sh"].split("swift sft")[1])
        paths = [words[at + 1] for at, word in enumerate(words) if word.endswith("dataset")]
        assert paths
        assert all(Path(path).exists() for path in paths)
        assert f"NPROC_PER_NODE={cards} " in files["train.sh"]
    if name == "trl":
        ast.parse(files["train.py"])
        assert yaml.safe_load(files["train.yaml"])["dataset_name"] == str(folder)
    started = shlex.split(trainer.command(wish).rpartition("&& ")[2])
    assert any(Path(word).exists() for word in started)
    several = ("NPROC", "FORCE_TORCHRUN", "--num_processes", "zero3.yaml")
    assert cards == 1 or any(word in text + trainer.command(wish) for word in several)


@pytest.mark.parametrize("name", list(TRAINERS))
def test_the_folders_own_words_start_what_is_written(name: str, folders: dict[str, Path], tmp_path: Path) -> None:
    """`python -m benchmarks.trainers` runs them, in each trainer's environment."""
    trainer = TRAINERS[name]
    folder = folders[trainer.reads]
    block = told(folder, f"--for {name}", NAME=f"{MODEL}")
    configure, start = block.splitlines()
    words = shlex.split(configure)
    assert words[:4] == ["imgdiff", "train-config", "--for", name]
    assert words[words.index("--on") + 1] == str(folder)
    wish = Wish(MODEL, folder, tmp_path / "training")
    assert start == trainer.command(wish).replace(f"{tmp_path}/", "")


def test_a_folder_of_another_format_is_refused_with_the_command_that_makes_one(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(NoConfiguration, match="is of the format hf, and ms-swift reads swift: imgdiff export"):
        write_config("ms-swift", Wish(MODEL, folders["hf"], tmp_path / "out"))
    with pytest.raises(NoConfiguration, match="is no exported folder"):
        write_config("trl", Wish(MODEL, tmp_path, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_model_whose_template_nobody_knows_must_be_told_of(folders: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(NoConfiguration, match="acme/eyes: LLaMA-Factory must be told the chat template"):
        write_config("llama-factory", Wish("acme/eyes", folders["sharegpt"], tmp_path / "out"))
    write_config("llama-factory", Wish("acme/eyes", folders["sharegpt"], tmp_path / "out", template="llava"))


def test_the_command_says_what_is_next(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMGDIFF_HOME", str(tmp_path / "home"))
    words = [
        "train-config",
        "--for",
        "trl",
        "--model",
        MODEL,
        "--on",
        str(folders["hf"]),
        "--out",
        str(tmp_path / "o"),
    ]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    assert f"Start it with: python {tmp_path / 'o' / 'train.py'}" in done.output
    assert f"imgdiff evaluate --model {tmp_path / 'o' / 'model'}" in done.output
    unknown = CliRunner().invoke(main, [*words[:2], "axolotl", *words[3:]])
    assert (unknown.exit_code, "is not one of" in unknown.output) == (2, True)
