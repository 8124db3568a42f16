"""Which releases a home has, in which order, and which number the next one gets.

Numbers count up and none is given twice, whatever is deleted since: the highest stands in `releases/.last_number`. It
is written before its release is begun, for one that is in its place may be deleted the moment after. What a kill left
of a release that never came to its place is gone on with under its number.
"""

import os
import platform
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from imgdiff_assets.common.aliases import Say
from imgdiff_assets.common.errors import ImgDiffError
from imgdiff_assets.export.folder import partial_of
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.files import atomic_file
from imgdiff_assets.release.contents import MANIFEST, read_manifest
from resources.loading.file_lock import held

LAST_NUMBER = ".last_number"
LONGEST_VERSION = 64
MOST_DIGITS = 15
NUMBER = rf"[0-9]{{1,{MOST_DIGITS}}}"
VERSION = re.compile(rf"[0-9A-Za-z][0-9A-Za-z.-]{{0,{LONGEST_VERSION - 1}}}")


class ReleaseError(ImgDiffError, ValueError):
    """Nothing to release, or a version that cannot be made."""


def lock(home: Home, on_wait: Say) -> AbstractContextManager[None]:
    """Hold the releases of a home; another process waits, and `on_wait` is told for whom."""
    holder = f"process {os.getpid()} on {platform.node()}"
    return held(home.releases / LAST_NUMBER, str(home.releases), holder, on_wait)


def releases(home: Home) -> list[Path]:
    """The whole releases, oldest first."""
    found = [path for path in home.releases.glob("*") if (path / MANIFEST).exists() and not path.name.startswith(".")]
    # Where 0.1.0 gave a number twice, the later has the higher version.
    return sorted(found, key=lambda path: (_number(path), len(path.name), path.name))


def latest_release(home: Home) -> Path | None:
    """The newest release."""
    return next(reversed(releases(home)), None)


def check_version(version: str) -> None:
    """Raises ReleaseError for what cannot be the name of a folder on every system."""
    if not VERSION.fullmatch(version):
        raise ReleaseError(
            f"{version[:LONGEST_VERSION]!r} is no version: use letters (a to z), digits, '.' and '-', at most "
            f"{LONGEST_VERSION} of them."
        )
    if version.isdecimal() and len(version) > MOST_DIGITS:
        raise ReleaseError(f"{version}: a release's number has at most {MOST_DIGITS} digits.")


def last_number(home: Home, there: Sequence[Path]) -> int:
    """The highest number that was given, to a release that is `there` or was. For whoever holds the lock.

    It is written down if it was not: a home of 0.1.0 has only its releases to go by. Raises ReleaseError.
    """
    path = home.releases / LAST_NUMBER
    try:
        written = int(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        written = 0
    except ValueError:
        raise ReleaseError(f"{path}: holds no number; write that of the last release into it.") from None
    # Any folder with a number for its name: what is no release is not to be replaced by one.
    named = [int(path.name) for path in home.releases.iterdir() if re.fullmatch(NUMBER, path.name)]
    highest = max([0, *map(_number, there), *named])
    if highest > written:
        _write_last_number(home, highest)
    return max(highest, written)


def take_number(home: Home, last: int, version: str | None) -> int:
    """Give a number away: the next after `last`, or that which `version` is. For whoever holds the lock.

    Raises ReleaseError for a version that is a number which may have been given before.
    """
    begun = partial_of(home.releases / str(last)).exists()
    free = last if begun else last + 1
    number = int(version) if version is not None and version.isdecimal() else free
    if number < free:
        raise ReleaseError(f"{version}: numbers of releases count up, and {last} was the last; name another.")
    _write_last_number(home, number)
    return number


def _write_last_number(home: Home, number: int) -> None:
    with atomic_file(home.releases / LAST_NUMBER) as temporary:
        temporary.write_text(f"{number}\n", encoding="utf-8")


def _number(release: Path) -> int:
    return int(read_manifest(release)["number"])
