"""Errors as users see them: an expected one is a sentence, a mistake of the program a traceback."""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from imgdiff_assets.cli.main import main
from imgdiff_assets.common.errors import REPORT, ImgDiffError
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.shards import read_captions
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.recipe.mistakes import RecipeError
from resources.catalog import CatalogUnavailable
from resources.installed import BrokenPart
from resources.loading.devices import DeviceMissing
from resources.loading.downloads import DownloadFailed
from resources.loading.failures import ModelUnavailable, WeightsMissing

SHARD = "shard-000000"
HOME, RECIPE = "imgdiff_assets.home.Home.from_environment", "imgdiff_assets.recipe.chosen_recipe.load_recipe"
COMMANDS = {
    "browse": (["browse", "--port", "0"], HOME),
    "catalog rebuild": (["catalog", "rebuild"], HOME),
    "certificate": (["certificate"], HOME),
    "demo": (["demo"], HOME),
    "doctor": (["doctor"], RECIPE),
    "estimate": (["estimate"], HOME),
    "export": (["export", "--format", "llava", "--out", "out"], HOME),
    "ingest": (["ingest", "captions.txt"], HOME),
    "ingest-pairs": (["ingest-pairs", "folder"], HOME),
    "init": (["init", "--have", "captions", "--on", "card"], HOME),
    "lineage": (["lineage", "abcdef"], HOME),
    "map": (["map"], HOME),
    "models check": (["models", "check"], RECIPE),
    "models list": (["models", "list"], RECIPE),
    "models pull": (["models", "pull"], RECIPE),
    "recipe copy": (["recipe", "copy"], HOME),
    "recipe diff": (["recipe", "diff"], RECIPE),
    "recipe show": (["recipe", "show"], RECIPE),
    "release": (["release"], HOME),
    "replay": (["replay", "abcdef"], HOME),
    "report": (["report"], HOME),
    "reviewers add": (["reviewers", "add", "Ann"], HOME),
    "reviewers list": (["reviewers", "list"], HOME),
    "reviewers remove": (["reviewers", "remove", "Ann"], HOME),
    "run": (["run"], HOME),
    "shards list": (["shards", "list"], HOME),
    "shards remove": (["shards", "remove", "shard-000000"], HOME),
    "shards restore": (["shards", "restore", "shard-000000"], HOME),
    "shards show": (["shards", "show", "shard-000000"], HOME),
    "stats": (["stats"], HOME),
    "ui": (["ui", "--port", "0"], HOME),
    "what-if": (["what-if"], HOME),
}
EXPECTED: list[tuple[BaseException, str]] = [
    (ImgDiffError("The moon is down."), "The moon is down."),
    (RecipeError("No such key."), "No such key."),
    *((kind("It is away."), "It is away.") for kind in (WeightsMissing, ModelUnavailable, DownloadFailed)),
    *((kind("It is not."), "It is not.") for kind in (CatalogUnavailable, BrokenPart, DeviceMissing)),
    (FileNotFoundError(errno.ENOENT, "No such file", "a.txt"), "a.txt: No such file."),
    (OSError(errno.ENOSPC, "No room"), "No room; make room or point IMGDIFF_HOME elsewhere."),
    (KeyboardInterrupt(), "Stopped. What was done is kept: given again, the same command goes on from here."),
]
MISTAKES = [ValueError("x"), LookupError("x"), AttributeError("x"), RuntimeError("x"), AssertionError(), OSError("x")]


def raising(error: BaseException) -> Callable[..., Any]:
    def fail(*arguments: Any, **options: Any) -> None:
        raise error

    return fail


@pytest.fixture(autouse=True)
def a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMGDIFF_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("IMGDIFF_RECIPE", raising=False)


@pytest.mark.parametrize(("error", "said"), EXPECTED, ids=lambda each: type(each).__name__)
def test_an_expected_error_is_a_sentence(error: BaseException, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HOME, raising(error))
    result = CliRunner().invoke(main, ["stats"])
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", f"Error: {said}\n")


@pytest.mark.parametrize("error", MISTAKES, ids=lambda error: type(error).__name__)
def test_a_mistake_of_the_program_passes_through_and_says_how_to_report_it(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HOME, raising(error))
    result = CliRunner().invoke(main, ["stats"])
    assert result.exit_code == 1
    assert result.exception is error
    assert error.__notes__ == [REPORT]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_tells_one_from_the_other(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments, function = COMMANDS[name]
    monkeypatch.setattr(function, raising(ImgDiffError("The moon is down.")))
    expected = CliRunner().invoke(main, arguments)
    assert (expected.exit_code, expected.stderr) == (1, "Error: The moon is down.\n")
    mistake = ValueError("not one of the expected errors")
    monkeypatch.setattr(function, raising(mistake))
    assert CliRunner().invoke(main, arguments).exception is mistake


def test_a_mistake_shows_its_traceback_and_ends_with_one(tmp_path: Path) -> None:
    code = (
        "import imgdiff_assets.home as home\n"
        "home.Home.from_environment = lambda: [][0]\n"
        "import sys; sys.argv = ['imgdiff', 'stats']\n"
        "from imgdiff_assets.cli.main import command; command()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Traceback (most recent call last):\n")
    assert done.stderr.endswith(f"IndexError: list index out of range\n{REPORT}\n")


def test_a_mistake_within_a_run_shows_its_traceback_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    captions = tmp_path / "captions.txt"
    captions.write_text("quokka\n")
    assert CliRunner().invoke(main, ["ingest", str(captions)]).exit_code == 0
    with monkeypatch.context() as patch:
        patch.setattr("imgdiff_assets.defs.asset_stage.materialize", raising(TypeError("a mistake")))
        result = CliRunner().invoke(main, ["run", "--select", "prompt_pairs", "--json"])
    assert result.exit_code == 1
    assert "Traceback (most recent call last):" in result.stderr
    assert REPORT in result.stderr
    assert result.stderr.endswith("Error: prompt_pairs of shard-000000: TypeError('a mistake')\n")
    assert json.loads(result.stdout)["failures"] == ["prompt_pairs of shard-000000: TypeError('a mistake')"]
    os.truncate(Home.from_environment().captions / "shard-000000.parquet", 100)
    damaged = CliRunner().invoke(main, ["run", "--select", "prompt_pairs"])
    assert "is not a readable caption table" in damaged.stderr
    assert "Traceback" not in damaged.stderr


@pytest.mark.parametrize("table", ["prompt_pairs", "image_pairs"])
def test_no_command_has_a_traceback_for_a_damaged_table(
    table: str, own_home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = Ledger(own_home.ledger).read("fine_tune_set", SHARD)["sample_id"][0].as_py()
    os.truncate(Ledger(own_home.ledger).table_path(table, SHARD), 1000)
    monkeypatch.setenv("IMGDIFF_HOME", str(own_home.root))
    told = {}
    for line in (
        "stats",
        "stats --diversity",
        "what-if",
        "certificate",
        "report",
        f"lineage {sample}",
        f"replay {sample}",
        f"export --format llava --out {tmp_path / 'out'}",
        "run --dry-run",
        "release",
        "catalog rebuild",
    ):
        result = CliRunner().invoke(main, line.split())
        assert result.exception is None or isinstance(result.exception, SystemExit), line
        told[line] = result.stderr
    assert f"{Ledger(own_home.ledger).table_path(table, SHARD)} is damaged" in told["stats"]
    assert "`imgdiff ledger verify` sets it aside" in told["stats"]


def test_shards_are_listed_whose_captions_were_restored_without_their_files(invoke: Any, own_home: Home) -> None:
    path = own_home.captions / "shard-000001.parquet"
    path.write_bytes(b"PAR1")
    assert "restored" in invoke(own_home.root, "ledger", "verify").output
    assert set(read_captions(own_home, "shard-000001")["source"].to_pylist()) == {None}
    for words in (["shards", "list"], ["shards", "show", "shard-000001"], ["remove", "--file", "None", "--dry-run"]):
        result = invoke(own_home.root, *words)
        assert result.exception is None or isinstance(result.exception, SystemExit), words
        assert ("nothing in" in result.output) == (words[0] == "remove")
        assert ("shard-000001" in result.output) == (words[0] == "shards")
