"""Which format the files of a home are of: told by the first that writes one which earlier releases cannot read."""

import json
from pathlib import PurePath

from imgdiff_assets.common.errors import ImgDiffError
from imgdiff_assets.ledger.store.entry import Replaced, StoreError
from imgdiff_assets.ledger.store.store import read_bytes, store_of

FORMAT = 2
"""1 (or nothing said): images in tables. 2: images in parts; tables of format 1 may be among them."""

NAME = "format.json"
_known: dict[str, int] = {}
"""Of the homes that this process has looked at, by the address of their ledger."""


class NewerHome(ImgDiffError, RuntimeError):
    """A home that a later release has written to, whose files this one would misread."""


def check_format(ledger: PurePath) -> int:
    """The format of the home around a ledger. Raises NewerHome.

    A store that does not answer is left to whoever asks it next.
    """
    known = _known.get(str(ledger))
    if known is None:
        try:
            known = _said(ledger.with_name(NAME))
        except StoreError:
            return FORMAT
        _known[str(ledger)] = known
    if known > FORMAT:
        raise NewerHome(
            f"{ledger.parent} was written by a later release of imgdiff-assets (format {known}; this one knows "
            f"{FORMAT}): install that release, or point IMGDIFF_HOME at another home. Nothing was changed."
        )
    return known


def say_format(ledger: PurePath) -> None:
    """Say that the home is of today's format from now on. Raises NewerHome, NotWritten, StoreError."""
    if check_format(ledger) < FORMAT:
        path = ledger.with_name(NAME)
        store = store_of(path)
        try:
            with store.writing(path, store.version(path), shared=True) as temporary:
                temporary.write_text(json.dumps({"format": FORMAT}) + "\n")
        except Replaced:  # by another run, which may be of another release
            _known.pop(str(ledger), None)
            check_format(ledger)
        _known[str(ledger)] = FORMAT


def _said(path: PurePath) -> int:
    """Damaged, it says nothing; it is said again by the next that writes."""
    try:
        return int(json.loads(read_bytes(path))["format"])
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        return 1
