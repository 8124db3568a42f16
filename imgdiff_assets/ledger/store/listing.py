"""Many objects known by one listing, and the ends of files that were read before: what a look at a home asks again."""

import hashlib
import os
import threading
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath

from imgdiff_assets.home import local_folder
from imgdiff_assets.ledger.files import atomic_file
from imgdiff_assets.ledger.store.entry import Entry

DIGEST = hashlib.sha256().digest_size


class Listing:
    """What was there at one moment; for the thread that looks, and while it does."""

    def __init__(self) -> None:
        self._of_thread = threading.local()

    @contextmanager
    def known(self, folder: PurePath, without: PurePath, entries: Sequence[Entry]) -> Iterator[None]:
        """While the block lasts, what is below the folder, but for one in it, is `entries`."""
        by_name = {str(entry.address): entry for entry in entries}
        before = self._value()
        self._of_thread.value = folder, by_name, sorted(by_name), without
        try:
            yield
        finally:
            self._of_thread.value = before

    def is_of(self, folder: PurePath, without: PurePath) -> bool:
        """Whether this thread is in such a block already."""
        known, _, _, left_out = self._value()
        return (known, left_out) == (folder, without)

    def of(self, address: PurePath) -> "Mapping[str, Entry] | None":
        """What is known by name, if it is so of this address."""
        folder, by_name, _, without = self._value()
        if folder is None or not address.is_relative_to(folder) or address.is_relative_to(without):
            return None
        return by_name

    def below(self, folder: PurePath) -> list[Entry]:
        """What is known below a folder, by name."""
        _, by_name, names, _ = self._value()
        first, end = (bisect_left(names, f"{folder}{mark}") for mark in ("/", "0"))  # which follows the slash
        return [by_name[name] for name in names[first:end]]

    def _value(self) -> tuple[PurePath | None, Mapping[str, Entry], Sequence[str], PurePath]:
        return getattr(self._of_thread, "value", None) or (None, {}, (), PurePath())


def kept_end(entry: Entry) -> bytes | None:
    """The last bytes of this version of an object, if this machine has read them before."""
    try:
        data = _place(entry).read_bytes()
    except OSError:
        return None
    # What is kept here is doubted as well: it must not make a table look damaged.
    return data[DIGEST:] if hashlib.sha256(data[DIGEST:]).digest() == data[:DIGEST] else None


def keep_end(entry: Entry, data: bytes) -> None:
    """Keep them for the next look."""
    with suppress(OSError), atomic_file(_place(entry), durable=False, shared=True) as temporary:
        temporary.write_bytes(hashlib.sha256(data).digest() + data)


def _place(entry: Entry) -> Path:
    name = hashlib.sha256(os.fsencode(f"{entry.address} {entry.version}")).hexdigest()
    return local_folder() / "cache" / "objects" / name[:2] / name
