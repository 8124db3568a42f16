"""What is imported is declared: no library is had only because another one happens to bring it."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OURS = {"imgdiff_assets", "resources", "tests", "benchmarks", "docs"}
IN_ANOTHER_ENVIRONMENT = {
    ROOT / "benchmarks" / "speed" / "data_juicer_worker.py",
    *(ROOT / "benchmarks" / "trainers" / "scripts").glob("*.py"),
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def normal(distribution: str) -> str:
    """The name as package indices compare it."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def declared(*extras: str) -> set[str]:
    """The distributions that an installation with these extras asks for itself."""
    lines = [*PROJECT["dependencies"], *(line for extra in extras for line in PROJECT["optional-dependencies"][extra])]
    found: set[str] = set()
    for line in lines:
        name, others = re.match(r"([\w.-]+)(?:\[([^\]]*)\])?", line).groups()  # type: ignore[union-attr]
        found |= declared(*others.split(",")) if normal(name) == normal(PROJECT["name"]) else {normal(name)}
    return found


NOT_INSTALLED = {"umap": ["umap-learn"]}
"""What an extra brings that developers do without."""


@cache
def brought_by() -> Mapping[str, list[str]]:
    """The distributions that bring each top-level module; to ask all that are installed takes two seconds."""
    return {**NOT_INSTALLED, **packages_distributions()}


def imported(room: str) -> Iterator[tuple[str, Path]]:
    """The top-level modules of other projects that a room imports, inside functions too, and where."""
    for path in sorted((ROOT / room).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module is not None:
                names = [node.module]
            for name in {name.partition(".")[0] for name in names} - OURS - sys.stdlib_module_names:
                if path not in IN_ANOTHER_ENVIRONMENT:
                    yield name, path


@pytest.mark.parametrize("room", ["imgdiff_assets", "resources", "tests", "benchmarks", "docs"])
def test_every_library_that_is_imported_is_declared(room: str) -> None:
    users = set(PROJECT["optional-dependencies"]) - {"dev"}
    known = declared(*users) if room in ("imgdiff_assets", "resources") else declared(*users, "dev")
    undeclared = {
        f"{name} in {path.relative_to(ROOT)}"
        for name, path in imported(room)
        if not known & {normal(distribution) for distribution in brought_by().get(name, [name])}
    }
    assert not undeclared


def test_developers_get_what_every_test_needs() -> None:
    needed = {normal(brought_by().get(name, [name])[0]) for name, _ in imported("tests")}
    assert needed <= declared("dev")
