"""What stores tell of a file, what a writer expects to find, and what he is told when it is not so."""

from dataclasses import dataclass
from enum import Enum
from pathlib import PurePath

from imgdiff_assets.common.errors import ImgDiffError


class Any(Enum):
    """Whatever is there."""

    ANY = "any"


ANY = Any.ANY
Expected = str | None | Any


@dataclass(frozen=True, slots=True)
class Entry:
    """A file: its version, its size in bytes, and when it was written, in seconds since 1970."""

    address: PurePath
    version: str
    size: int
    modified: float


class StoreError(ImgDiffError, OSError):
    """What is no fault of the file: nothing of it is damaged, and another time it can be read."""


class Replaced(StoreError):
    """Something else was there than the writer expected; it is unchanged."""

    def __init__(self, address: PurePath) -> None:
        super().__init__(
            f"{address}: another run has written it in the meantime, and it stays as that one left it. What was "
            "measured is kept; run again."
        )
        self.address = address


class LeaseLost(ImgDiffError, RuntimeError):
    """A lock that may be another's by now."""


class StoreUnavailable(StoreError):
    """A store that did not answer, or not as it should."""


class StoreRefused(StoreError):
    """A store that does not let this process do what it must."""
