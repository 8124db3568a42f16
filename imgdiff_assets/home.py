"""Where things are: the folders below `IMGDIFF_HOME`."""

import os
from dataclasses import dataclass
from pathlib import Path

from imgdiff_assets.common.errors import ImgDiffError

DEFAULT_HOME = "imgdiff_home"


class HomeNotWritable(ImgDiffError, PermissionError):
    """A folder that nothing can be written to."""


@dataclass(frozen=True, slots=True)
class Home:
    """The folder of one project: `inbox/`, `captions/`, `ledger/`, `catalog.duckdb`, `dagster/`, `reviews.jsonl`."""

    root: Path

    @classmethod
    def from_environment(cls) -> "Home":
        """The folder named by `IMGDIFF_HOME`, or `./imgdiff_home`; nothing is created."""
        return cls(Path(os.environ.get("IMGDIFF_HOME") or DEFAULT_HOME).expanduser().absolute())

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
    def releases(self) -> Path:
        return self.root / "releases"

    @property
    def catalog(self) -> Path:
        return self.root / "catalog.duckdb"

    @property
    def dagster(self) -> Path:
        return self.root / "dagster"

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
