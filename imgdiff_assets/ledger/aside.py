"""Damaged files, set aside: neither read nor lost."""

import datetime
from collections.abc import Callable
from itertools import count
from pathlib import PurePath
from typing import TypeVar

from imgdiff_assets.ledger.store.store import store_of

Address = TypeVar("Address", bound=PurePath)

ASIDE = ".damaged"
"""What follows the name of a damaged file that was set aside: what is whole of it is still of use."""

WRONG = ".wrong"
"""The same of a file that reads well and holds what was never written, nobody knows where."""


def set_aside(path: Address, mark: str = ASIDE) -> Address:
    """Rename a damaged file, so that it is neither read nor lost; returns its new path, which says when (UTC).

    Names sort by time, and no file is ever overwritten.
    """
    return _free_name(path, mark, store_of(path).move)


def copy_aside(path: Address) -> Address:
    """The same by a copy, for a file that is about to be replaced."""
    return _free_name(path, ASIDE, store_of(path).copy)


def _free_name(path: Address, mark: str, put: Callable[[PurePath, PurePath], None]) -> Address:
    moment = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%SZ")
    for number in count():
        aside = path.with_name(f"{path.name}{mark}-{moment}-{number:03d}")
        try:
            put(path, aside)
        except FileExistsError:
            continue
        return aside
    raise AssertionError


def latest_aside(path: PurePath) -> PurePath | None:
    """What was set aside last of a file, if anything was."""
    found = store_of(path).find(path.parent, f"{path.name}{ASIDE}-*")
    return found[-1].address if found else None
