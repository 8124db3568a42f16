"""Where things are: the folders below `IMGDIFF_HOME`."""

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePath

from imgdiff_assets.common.addresses import address
from imgdiff_assets.common.errors import ImgDiffError

DEFAULT_HOME = "imgdiff_home"
NO_NAME_IN_A_URL = re.compile(r"\?|%[0-9A-Fa-f]{2}")
"""Dagster puts the path of its SQLite files into a URL as it is, where these mean something else."""

NO_NAME_FOR_DUCKDB = re.compile(r"[?\\]")
"""What DuckDB takes for the end of a name, or for the end of a folder's."""


def local_folder() -> Path:
    """What is of this machine alone of homes in buckets: `IMGDIFF_LOCAL`, or `./imgdiff_home`."""
    return Path(os.environ.get("IMGDIFF_LOCAL") or DEFAULT_HOME).expanduser().absolute()


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
    """The place of one project: `captions/`, `ledger/`, `reviews.jsonl` and `journals/` are there.

    `inbox/`, `releases/`, `catalog.duckdb`, `dagster/` and whatever can be made again are beside them, or, where that
    is a bucket, in a folder of this machine: `local`.
    """

    root: PurePath

    @classmethod
    def from_environment(cls) -> "Home":
        """What `IMGDIFF_HOME` names, a folder or `s3://bucket/prefix`, or `./imgdiff_home`; nothing is created.

        Raises UnusableName.
        """
        place = address(os.environ.get("IMGDIFF_HOME") or DEFAULT_HOME)
        return cls(expanded(place).absolute() if isinstance(place, Path) else place)

    @property
    def local(self) -> Path:
        """What is of this machine alone: the home itself or, if that is in a bucket, what `IMGDIFF_LOCAL` names."""
        if isinstance(self.root, Path):
            return self.root
        return local_folder()

    @property
    def inbox(self) -> Path:
        return self.local / "inbox"

    @property
    def captions(self) -> PurePath:
        return self.root / "captions"

    @property
    def ledger(self) -> PurePath:
        return self.root / "ledger"

    @property
    def recipe(self) -> Path:
        """The recipe of this home, where there is one."""
        return self.local / "recipe.yaml"

    @property
    def trash(self) -> PurePath:
        """Where shards are that were taken out."""
        return self.root / "trash"

    @property
    def releases(self) -> Path:
        return self.local / "releases"

    @property
    def catalog(self) -> Path:
        return self._place("catalog.duckdb", NO_NAME_FOR_DUCKDB)

    @property
    def dagster(self) -> Path:
        return self._place("dagster", NO_NAME_IN_A_URL)

    def _place(self, name: str, misread: re.Pattern[str]) -> Path:
        """In the home; of one whose path a database cannot be given, in `~/.local/state/imgdiff/<its hash>`."""
        if not misread.search(str(self.local)):
            return self.local / name
        states = Path(os.environ.get("XDG_STATE_HOME") or "~/.local/state").expanduser()
        return states / "imgdiff" / hashlib.sha256(os.fsencode(self.local)).hexdigest()[:16] / name

    @property
    def reviews(self) -> PurePath:
        return self.root / "reviews.jsonl"

    @property
    def journals(self) -> PurePath:
        """What people say beside their verdicts: corrections, tags, views, and who they are."""
        return self.root / "journals"

    @property
    def removed(self) -> PurePath:
        """What was taken down, and is not taken again."""
        return self.root / "removed.jsonl"

    @property
    def report(self) -> Path:
        """Where `imgdiff report` writes unless told."""
        return self.local / "report.html"

    def create(self) -> None:
        """Make the folders. Raises HomeNotWritable."""
        try:
            for folder in (self.inbox, self.captions, self.ledger, self.dagster):
                if isinstance(folder, Path):  # a bucket has no folders
                    folder.mkdir(parents=True, exist_ok=True)
            probe = self.local / ".writable"
            probe.touch()
            probe.unlink()
        except OSError as error:
            variable = "IMGDIFF_HOME" if self.local == self.root else "IMGDIFF_LOCAL"
            raise HomeNotWritable(
                f"{self.local}: cannot be written ({error.strerror}); point {variable} at a folder of yours."
            ) from error
