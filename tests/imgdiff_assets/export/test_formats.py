"""What a format says of itself, and where that is told; formats that an installed package brings."""

import json
import re
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from imgdiff_assets.browser.exports import exported
from imgdiff_assets.cli.main import main
from imgdiff_assets.export.exporting import export
from imgdiff_assets.export.format import Format
from imgdiff_assets.export.formats import GROUP, OURS, formats
from imgdiff_assets.export.options import ExportError, Options
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.reading.gathered import gather
from resources.installed import BrokenPart

ROOT = Path(__file__).parents[3]
InstallPackage = Callable[[str, str, str, dict[str, str]], None]
SHARDS = ["shard-000000", "shard-000001"]


def write(home: Home, form: Format, out: Path) -> dict[str, Any]:
    return export(Ledger(home.ledger), SHARDS, form, out, Options(), lambda *told: None)


# The reader of tars leaves closing its files to the garbage collector.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("form", OURS, ids=lambda form: form.name)
def test_what_a_format_says_of_reading_it_is_so(
    form: Format, drawn_home: Home, task_home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    home = drawn_home if "difference" in (form.tasks or ["difference"]) else task_home

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    report = write(home, form, tmp_path / "out")
    names: dict[str, Any] = {}
    exec(form.loading_from(str(tmp_path / "out")), names)
    assert len(list(names["train"])) in (report["samples"]["train"], 2 * report["samples"]["train"]), "COCO: two sides"
    for name in re.findall(r"train\.\w+", form.files):
        assert list((tmp_path / "out").rglob(name)), f"{name} is named by the help"


def test_the_help_tells_what_every_format_says_of_itself() -> None:
    told = " ".join(CliRunner().invoke(main, ["export", "--help"], terminal_width=200).output.split())
    for form in OURS:
        assert f"{form.name} {form.described}" in told
    assert "only the task difference" in told


def test_an_export_says_how_to_read_it(drawn_home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMGDIFF_HOME", str(drawn_home.root))
    out = str(tmp_path / "out")
    told = CliRunner().invoke(main, ["export", "--format", "hf", "--out", out]).stdout
    assert f'train = load_dataset("{out}", split="train")' in told
    assert 'train = load_dataset("FOLDER", split="train")' in (tmp_path / "out" / "README.md").read_text()


def test_a_package_that_is_missing_is_named_and_no_other_is_needed(
    drawn_home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    optional = [re.split("[<>=]", requirement)[0] for requirement in extras["export"]]
    for package in optional:
        monkeypatch.setitem(sys.modules, package, None)
    for form in OURS:
        assert set(form.needs) <= set(optional)
        if form.needs:
            with pytest.raises(ExportError, match=rf"{form.name} is written with {form.needs[0]}, not installed"):
                write(drawn_home, form, tmp_path / form.name)
            assert not (tmp_path / form.name).exists()
        else:
            write(drawn_home, form, tmp_path / form.name)


def test_no_other_file_lists_the_formats() -> None:
    """Examples name one or two of them; ms-swift is a trainer."""
    names = "|".join(form.name for form in OURS if form.name != "imgdiff")
    files = [path for form in ("py", "html", "md") for path in (ROOT / "imgdiff_assets").rglob(f"*.{form}")]
    for path in [*files, *ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        if path.parent != ROOT / "imgdiff_assets" / "export":
            assert len(set(re.findall(rf"(?<!ms-)\b({names})\b", path.read_text(encoding="utf-8")))) < 3, path


PLAIN = """
from imgdiff_assets.export.format import Format
from imgdiff_assets.export.view import SPLITS


def write_shard(folder, shard, views, options):
    for view in views:
        yield {"line": f"{view.question} {view.answer}"}


def finish(folder, entries, options):
    for split in SPLITS:
        (folder / f"{split}.txt").write_text("".join(entry["line"] + "\\n" for entry in entries(split)))


FORMAT = Format(
    name="plain",
    reads="people",
    files="question and answer, a line each, in train.txt and validation.txt",
    loading='train = list(open("FOLDER/train.txt"))',
    write_shard=write_shard,
    finish=finish,
    entries_are_text=True,
)
"""


@pytest.fixture
def install(install_package: InstallPackage) -> Callable[[str], None]:
    """`install(entry_point)`: a package `plain-export` 1.2 that offers something of its module `plain_export`."""
    return lambda entry_point: install_package("plain-export", "1.2", PLAIN, {GROUP: entry_point})


def test_a_format_of_an_installed_package_is_used_like_ours(
    install: Callable[[str], None], task_home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMGDIFF_HOME", str(task_home.root))
    asked = ["export", "--format", "plain", "--out", str(tmp_path / "out")]
    unknown = CliRunner().invoke(main, asked)
    assert (unknown.exit_code, "'plain' is not one of" in unknown.output) == (2, True)

    install("plain = plain_export:FORMAT")
    told = " ".join(CliRunner().invoke(main, ["export", "--help"]).output.split())
    assert "plain people: question and answer, a line each" in told
    assert "(from plain-export 1.2)" in told
    done = CliRunner().invoke(main, [*asked, "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["format"] == "plain"
    answers = [sample.answer for sample in gather(Ledger(task_home.ledger), SHARDS) if sample.split == "train"]
    lines = (tmp_path / "out" / "train.txt").read_text().splitlines()
    assert len(lines) == len(answers) > 0
    assert all(line.endswith(f" {answer}") for line, answer in zip(lines, answers, strict=True))
    shard, sample = next(
        iter((key, rows[0]) for key, rows in gather(Ledger(task_home.ledger), SHARDS).samples.items())
    )
    shown = dict(exported(Ledger(task_home.ledger), shard, sample.sample_id))
    assert json.loads(shown["plain"])["line"].endswith(sample.answer)


@pytest.mark.parametrize(
    ("entry_points", "expected"),
    [
        ("llava = plain_export:FORMAT", "plain-export offers the export format 'llava', which imgdiff-assets has"),
        ("other = plain_export:FORMAT", "plain-export offers the export format 'other', but what it names is no"),
        ("plain = plain_export:finish", "plain-export offers the export format 'plain', but what it names is no"),
    ],
)
def test_a_format_that_cannot_be_used_is_one_sentence_with_its_package(
    install: Callable[[str], None], entry_points: str, expected: str, tmp_path: Path
) -> None:
    install(entry_points)
    with pytest.raises(BrokenPart, match=re.escape(expected)):
        formats()
    for arguments in (["--help"], ["--format", "llava", "--out", str(tmp_path / "out")]):
        told = CliRunner().invoke(main, ["export", *arguments])
        assert (told.exit_code, told.stderr.count("\n")) == (1, 1)
        assert told.stderr.startswith(f"Error: {expected}")
