"""An environment for one reader."""

import subprocess
import sys
import sysconfig
import venv
from collections.abc import Sequence
from pathlib import Path

LISTING = "from importlib.metadata import distributions as all\nfor d in all(): print(f'{d.name}=={d.version}')"
"""Prints what an environment has, first what is found first."""


def commands_of(folder: Path, requirements: Sequence[str], borrow: bool) -> Path:
    """The folder of an environment's commands; it is made unless it is there whole.

    With `borrow`, it finds what it lacks in this environment.
    """
    commands, made = folder / "bin", folder / "made"
    if not made.exists():
        venv.create(folder, clear=True)
        if borrow:
            (found,) = folder.glob("lib/python*/site-packages")
            (found / "borrowed.pth").write_text(sysconfig.get_paths()["purelib"] + "\n", encoding="utf-8")
        pip = [sys.executable, "-m", "pip", "--python", commands / "python", "--disable-pip-version-check"]
        subprocess.run([*pip, "install", "--quiet", "--no-input", "--no-compile", *requirements], check=True)
        made.touch()
    return commands


def versions_of(commands: Path, packages: Sequence[str]) -> dict[str, str]:
    """The versions of those of the packages that an environment has."""
    listed = subprocess.run([commands / "python", "-c", LISTING], capture_output=True, text=True, check=True).stdout
    versions: dict[str, str] = {}
    for line in listed.splitlines():
        name, version = line.split("==")
        versions.setdefault(name.replace("-", "_").lower(), version)
    return {package: versions[package] for package in packages if package in versions}
