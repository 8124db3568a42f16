"""A package that offers a rewriter which does to some captions what a plan says: it fails, or ends its process.

The plan is a folder with a JSON file `plan.json`, by caption one of the words below; `calls` there has a line for each
call: the process and its captions. While there is a file `one`, no process loads the model after one has ended.
`meet`: no process goes on before two were called; `wait`: nor before there is a file `go`.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from resources import installed

SOURCE = '''
import json
import os
import signal
import time
from pathlib import Path

from pydantic import BaseModel

from resources.backends.backend import Presence


class HazardSettings(BaseModel):
    plan: str


class AcceleratorError(RuntimeError):
    """As torch names it."""


class Rewriter:
    def __init__(self, folder):
        self.folder = Path(folder)

    def rewrite(self, captions, seeds):
        plan = json.loads((self.folder / "plan.json").read_text())
        with (self.folder / "calls").open("a") as calls:
            calls.write(json.dumps([os.getpid(), list(captions)]) + "\\n")
        (self.folder / f"met-{os.getpid()}").touch()
        for number, caption in enumerate(captions):
            what = plan.get(caption)
            if what in ("end", "end once") and (self.first("ended") or what == "end"):
                os.kill(os.getpid(), signal.SIGKILL)
            if what == "lose once" and self.first("lost"):
                raise AcceleratorError("unspecified launch failure")
            if what == "small" and (self.first("small") or self.owns("small")) and len(captions) > 1:
                raise MemoryError("out of memory")
            if what == "fail":
                raise ValueError("no such word")
            if what == "meet":
                self.until(lambda: len([*self.folder.glob("met-*")]) > 1)
            if what == "wait":
                self.until((self.folder / "go").exists)
        return [f"so : {caption} and more" for caption in captions]

    def until(self, happened):
        given_up = time.monotonic() + 300
        while not happened():
            if time.monotonic() > given_up:
                raise TimeoutError("nobody came")
            time.sleep(0.002)

    def first(self, name):
        try:
            with (self.folder / name).open("x") as file:
                file.write(str(os.getpid()))
            return True
        except FileExistsError:
            return False

    def owns(self, name):
        return (self.folder / name).read_text() == str(os.getpid())


class Hazard:
    roles = ("prompt_rewriter",)
    place = "in danger"
    settings_class = HazardSettings
    packages = {}

    def weights(self, settings):
        other = Path(settings.backend_settings["plan"]) / "driver"
        return "the run's" if not other.exists() or other.read_text() == str(os.getpid()) else "others"

    def presence(self, settings):
        return Presence("here")

    def load(self, settings):
        folder = Path(settings.backend_settings["plan"])
        if (folder / "one").exists() and (folder / "ended").exists():
            os.kill(os.getpid(), signal.SIGKILL)
        return Rewriter(settings.backend_settings["plan"])

    def device(self, settings):
        return "cpu"

    def runs_on(self, settings):
        return "cpu"

    def fetches(self, settings):
        return False

    def fetch(self, settings):
        raise NotImplementedError

    def licence(self, settings):
        return "public domain"


hazard = Hazard()
'''


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install it into a folder on the path, where processes that are started find it too."""
    information = folder / "hazard-1.0.dist-info"
    information.mkdir(parents=True)
    (folder / "hazard_backend.py").write_text(SOURCE, encoding="utf-8")
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: hazard\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[imgdiff_assets.backends]\nhazard = hazard_backend:hazard\n")
    monkeypatch.syspath_prepend(str(folder))
    installed.offers.cache_clear()


def write_plan(folder: Path, plan: Mapping[str, str]) -> None:
    """What is to happen from now on."""
    for file in (*(folder / name for name in ("calls", "ended", "lost", "small", "go")), *folder.glob("met-*")):
        file.unlink(missing_ok=True)
    (folder / "calls").touch()
    (folder / "plan.json").write_text(json.dumps(plan), encoding="utf-8")


def calls(folder: Path) -> list[tuple[int, list[str]]]:
    """The processes that were asked, and their captions."""
    lines = (folder / "calls").read_text(encoding="utf-8").splitlines()
    return [(process, captions) for process, captions in map(json.loads, lines)]
