"""What the ledger asks of what its files are in, and who answers for an address."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path, PurePath
from typing import Protocol

import pyarrow as pa

from imgdiff_assets.common.addresses import ObjectAddress
from imgdiff_assets.common.aliases import Say
from imgdiff_assets.ledger.store.entry import ANY, Entry, Expected
from imgdiff_assets.ledger.store.local import LocalStore
from imgdiff_assets.ledger.store.objects import ObjectStore, open_bucket


class Store(Protocol):
    """Files by their addresses. Each is there whole or not at all, and known by a version: another when it changes.

    What cannot be had raises FileNotFoundError where it is not there, else an ImgDiffError with a sentence.
    """

    def open(self, address: PurePath) -> pa.NativeFile:
        """Reads any part of one version of a file, whatever replaces it in the meantime."""

    def version(self, address: PurePath) -> str | None:
        """The version that is there now; None where there is no such file."""

    def find(self, folder: PurePath, pattern: str) -> list[Entry]:
        """The files below a folder whose path from there matches, part by part; by name."""

    def versions(self, folder: PurePath, name: str) -> dict[str, str]:
        """The versions of all files of a name that are in folders of this folder, by the folder's name."""

    def below(self, folder: PurePath) -> list[Entry]:
        """All files below a folder, however deep; by name. There are none where there is no such folder."""

    def looking(self, folder: PurePath, without: str) -> AbstractContextManager[None]:
        """While the block lasts, this thread may be told what was below a folder when it began, and reads only.

        Not below the folder in it that is named `without`, in which there are many files.
        """

    def writing(
        self, address: PurePath, expected: Expected = ANY, shared: bool = False
    ) -> AbstractContextManager[Path]:
        """A file of this machine that becomes the one at `address`, durably, when the block ends without an error.

        If only `expected` is there then: that version, or none for None. A `shared` file is written by several at
        once, who hold no lock. Raises Replaced, NotWritten.
        """

    def append(self, address: PurePath, lines: Sequence[str]) -> None:
        """Add lines, durably; whoever else does so loses none of his."""

    def drop_lines(self, address: PurePath, goes: Callable[[bytes], bool]) -> None:
        """Take out lines, durably; whoever adds some meanwhile loses none."""

    def pieces(self, address: PurePath) -> list[Entry]:
        """The files that hold the lines which were added, in order."""

    def copy(self, address: PurePath, to: PurePath) -> None:
        """Raises FileExistsError where there is something already."""

    def move(self, address: PurePath, to: PurePath) -> None:
        """The same; there is always one of the two."""

    def rename(self, address: PurePath, to: PurePath) -> None:
        """A file, or all below a folder, over what is there; called again, it goes on where it was stopped."""

    def delete(self, address: PurePath) -> None:
        """A file, or all below a folder, if it is there."""

    def tidy(self, folder: PurePath) -> None:
        """Remove what a kill left half-written in a folder; for whoever alone writes there."""

    def held(
        self, address: PurePath, what: str, holder: str, on_wait: Say | None = None
    ) -> AbstractContextManager[Callable[[], None]]:
        """Hold a lock; another process waits, and `on_wait` is told once for whom.

        What the block is given raises LeaseLost when the lock may be another's by now.
        """


LOCAL: Store = LocalStore()
OPENED: dict[str, Store] = {}
"""The buckets that this process uses, by scheme and name."""


def store_of(address: PurePath) -> Store:
    """Who answers for an address."""
    if not isinstance(address, ObjectAddress):
        return LOCAL
    if address.bucket not in OPENED:
        OPENED[address.bucket] = ObjectStore(open_bucket(address.bucket))
    return OPENED[address.bucket]


def read_bytes(address: PurePath) -> bytes:
    """A whole file. Raises FileNotFoundError."""
    with store_of(address).open(address) as file:
        return bytes(file.read())


def size_of(address: PurePath) -> int:
    """The bytes of a file; none where there is no such file."""
    try:
        with store_of(address).open(address) as file:
            return int(file.size())
    except FileNotFoundError:
        return 0


def lines_of(address: PurePath) -> Iterator[bytes]:
    """The lines that were added at an address, with what ends them."""
    for piece in store_of(address).pieces(address):
        yield from read_bytes(piece.address).splitlines(keepends=True)
