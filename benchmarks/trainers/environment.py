"""An environment for one reader, and the small models that it is given to train."""

import json
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SEED = 3
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


def small_llava(folder: Path) -> Path:
    """A LLaVA of 1.5 million parameters with its processor, its language model of random weights."""
    if not (folder / "config.json").exists():
        import torch

        from benchmarks.teaches.model import build_model, save
        from resources.miniature.train_captioner import build_processor

        torch.manual_seed(SEED)
        save(build_model(build_processor()), folder)
    return folder


def small_clip(folder: Path) -> Path:
    """The configuration of a small CLIP, as open_clip reads it from a folder; it is trained from nothing."""
    text = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2}
    vision = {"image_size": 64, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16}
    statistics = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
    config: dict[str, Any] = {
        "model_cfg": {"embed_dim": 64, "vision_cfg": vision, "text_cfg": text},
        "preprocess_cfg": statistics,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "open_clip_config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder
