"""Where things are: the folders below `IMGDIFF_HOME`."""

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from imgdiff_assets.common.errors import ImgDiffError

DEFAULT_HOME = "imgdiff_home"
NO_NAME_IN_A_URL = re.compile(r"\?|%[0-9A-Fa-f]{2}")
"""Dagster puts the path of its SQLite files into a URL as it is, where these mean something else."""

NO_NAME_FOR_DUCKDB = re.compile(r"[?\\]")
"""What DuckDB takes for the end of a name, or for the end of a folder's."""


class UnusableName(ImgDiffError, ValueError):
    """A path that cannot be used; the message says why."""


def expanded(path: Path) -> Path:
    """A path of the user's with `~` and `~name` resolved. Raises UnusableName."""
    try:
        return checked_name(path.expanduser())
    except RuntimeError as error:
        raise UnusableName(f"{path}: {error}") from None


def checked_name(path: Path) -> Path:
    """The path itself. Raises UnusableName for one that Arrow, DuckDB and Dagster cannot be given."""
    try:
        str(path.absolute()).encode()
    except UnicodeEncodeError:
        shown = os.fsencode(path.absolute()).decode("utf-8", "backslashreplace")
        raise UnusableName(f"{shown}: a name that is not UTF-8 cannot be used; rename it.") from None
    return path


class HomeNotWritable(ImgDiffError, PermissionError):
    """A folder that nothing can be written to."""


@dataclass(frozen=True, slots=True)
class Home:
    """The folder of one project: `inbox/`, `captions/`, `ledger/`, `catalog.duckdb`, `dagster/`, `reviews.jsonl`."""

    root: Path

    @classmethod
    def from_environment(cls) -> "Home":
        """The folder named by `IMGDIFF_HOME`, or `./imgdiff_home`; nothing is created. Raises UnusableName."""
        return cls(expanded(Path(os.environ.get("IMGDIFF_HOME") or DEFAULT_HOME)).absolute())

    @property
    def inbox(self) -> Path:
        return self.root / "inbox"

    @property
    def captions(self) -> Path:
        return self.root / "captions"

    @property
    def ledger(self) -> Path:
        return self.root / "ledger"

    @property
    def recipe(self) -> Path:
        """The recipe of this home, where there is one."""
        return self.root / "recipe.yaml"

    @property
    def trash(self) -> Path:
        """Where shards are that were taken out."""
        return self.root / "trash"

    @property
    def releases(self) -> Path:
        return self.root / "releases"

    @property
    def catalog(self) -> Path:
        return self._place("catalog.duckdb", NO_NAME_FOR_DUCKDB)

    @property
    def dagster(self) -> Path:
        return self._place("dagster", NO_NAME_IN_A_URL)

    def _place(self, name: str, misread: re.Pattern[str]) -> Path:
        """In the home; of one whose path a database cannot be given, in `~/.local/state/imgdiff/<its hash>`."""
        if not misread.search(str(self.root)):
            return self.root / name
        states = Path(os.environ.get("XDG_STATE_HOME") or "~/.local/state").expanduser()
        return states / "imgdiff" / hashlib.sha256(os.fsencode(self.root)).hexdigest()[:16] / name

    @property
    def reviews(self) -> Path:
        return self.root / "reviews.jsonl"

    @property
    def report(self) -> Path:
        """Where `imgdiff report` writes unless told."""
        return self.root / "report.html"

    def create(self) -> None:
        """Make the folders. Raises HomeNotWritable."""
        try:
            for folder in (self.inbox, self.captions, self.ledger, self.dagster):
                folder.mkdir(parents=True, exist_ok=True)
            probe = self.root / ".writable"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise HomeNotWritable(
                f"{self.root}: cannot be written ({error.strerror}); point IMGDIFF_HOME at a folder of yours."
            ) from error
