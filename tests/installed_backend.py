"""A package that offers a backend, laid out as pip lays out what it installs."""

import sys
from pathlib import Path

import pytest

from resources import installed

SOURCE = '''
from pydantic import BaseModel, ConfigDict

from resources.backends.backend import Presence


class StampSettings(BaseModel):
    model_config = ConfigDict(extra="forbid")
    word: str = "ball"
    ink: int = 3


class Rewriter:
    def __init__(self, word):
        self.word = word

    def rewrite(self, captions, seeds):
        return [caption.replace(self.word, "cube") for caption in captions]


class Stamp:
    """Needs no weights: puts one word in the place of another."""

    roles = ("prompt_rewriter",)
    place = "on a stamp"
    settings_class = StampSettings
    packages = {"no_such_ink": "pip install ink"}

    def weights(self, settings):
        return f"stamp of {settings.model}"

    def presence(self, settings):
        missing = None if settings.model == "stamp" else f"There is no stamp {settings.model!r}: cut one."
        return Presence("in the drawer", missing)

    def load(self, settings):
        return Rewriter(StampSettings.model_validate(settings.backend_settings).word)

    def device(self, settings):
        return None

    def runs_on(self, settings):
        return "paper"

    def fetches(self, settings):
        return False

    def fetch(self, settings):
        raise NotImplementedError

    def licence(self, settings):
        return "public domain"


stamp = Stamp()
lacking = object()
'''


def install(
    folder: Path, monkeypatch: pytest.MonkeyPatch, version: str = "1.2", points: str = "stamp = rubber_stamp:stamp"
) -> None:
    """Install the package `rubber-stamp` into a folder on the path, instead of an earlier version of it.

    `points` are its entry points.
    """
    information = folder / f"rubber_stamp-{version}.dist-info"
    information.mkdir(parents=True)
    (folder / "rubber_stamp.py").write_text(SOURCE, encoding="utf-8")
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: rubber-stamp\nVersion: {version}\n")
    (information / "entry_points.txt").write_text(f"[imgdiff_assets.backends]\n{points}\n")
    monkeypatch.setattr(sys, "path", [path for path in sys.path if not list(Path(path).glob("rubber_stamp-*"))])
    monkeypatch.delitem(sys.modules, "rubber_stamp", raising=False)
    monkeypatch.syspath_prepend(folder)
    installed.offers.cache_clear()
