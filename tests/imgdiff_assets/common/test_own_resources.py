"""Beside another project that has a top-level package `resources` of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
COMMAND = "import sys; sys.path[:0] = {path}; from imgdiff_assets.cli.main import command; command()"
DEFINITIONS = "import sys; sys.path[:0] = {path}; import imgdiff_assets.definitions"


def run(program: str, *arguments: str, path: list[Path], folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run a program in another folder, with `path` before the rest of Python's path."""
    code = program.format(path=[str(each) for each in path])
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.fixture(params=["resources/__init__.py", "resources.py"])
def foreign(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """The other project's package, which must not even be run."""
    file = tmp_path / "project" / request.param
    file.parent.mkdir(parents=True)
    file.write_text("raise SystemExit('the other project ran')\n", encoding="utf-8")
    return file


def sentence(foreign: Path) -> str:
    project = foreign.parents[1] if foreign.name == "__init__.py" else foreign.parent
    return (
        f"{foreign} hides the package `resources` of imgdiff-assets ({ROOT / 'resources'}): start in a folder other "
        f"than {project}, take it off PYTHONPATH, or rename that package."
    )


def test_the_command_line_says_so_in_one_sentence(foreign: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    done = run(COMMAND, "models", "list", path=[project, ROOT], folder=project)
    assert (done.returncode, done.stderr) == (1, f"Error: {sentence(foreign)}\n")


def test_definitions_say_so_too(foreign: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    done = run(DEFINITIONS, path=[project, ROOT], folder=project)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith(f"ForeignResources: {sentence(foreign)}")


def test_one_that_stands_behind_ours_does_no_harm(foreign: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    done = run(COMMAND, "models", "list", path=[ROOT, project], folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_without_ours_the_installation_is_at_fault(tmp_path: Path) -> None:
    (tmp_path / "imgdiff_assets").symlink_to(ROOT / "imgdiff_assets")
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); "
        "from imgdiff_assets.common.own_resources import require_own_resources; require_own_resources()"
    )
    # Without what is installed.
    command = [sys.executable, "-I", "-S", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    expected = (
        f"ForeignResources: The package `resources` is missing beside {tmp_path / 'imgdiff_assets'}: install again."
    )
    assert done.stderr.splitlines()[-1].endswith(expected)
