"""Files that others name or send: only regular ones are opened, only so much is read, and no path leads out.

They are of this machine, or objects of a bucket, of which each opening fetches a copy.
"""

import os
import shutil
import stat
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path, PurePath
from typing import BinaryIO, cast

from imgdiff_assets.common.addresses import ObjectAddress
from imgdiff_assets.common.errors import ImgDiffError
from imgdiff_assets.common.plain_text import bytes_text
from imgdiff_assets.ledger.checksums import PIECE
from imgdiff_assets.ledger.store.store import store_of


class UnusableFile(ImgDiffError, ValueError):
    """A file that is not read; the message says why, after its name."""


def is_folder(place: PurePath, suffixes: Collection[str]) -> bool:
    """Whether a folder is meant. A bucket has none, so that a name there says what it is: one with another suffix."""
    return place.is_dir() if isinstance(place, Path) else place.suffix.lower() not in suffixes


def open_given(path: PurePath, follow: bool = True, most: int | None = None) -> BinaryIO:
    """Open a regular file to read its bytes; with `follow`, a link to one too. Raises UnusableFile.

    A device, a pipe or a socket is not opened: it may never end, wait for ever, or do something when it is read. One
    of more than `most` bytes is not opened either. Of an object, raises StoreError where it cannot be had just now.
    """
    file = _fetched(path, most) if isinstance(path, ObjectAddress) else _open_regular(path, follow)
    size = os.fstat(file.fileno()).st_size
    if most is not None and size > most:
        file.close()
        raise _too_large(size, most)
    return file


def _fetched(address: ObjectAddress, most: int | None) -> BinaryIO:
    """A copy in a file of this machine, as it was at one moment: decoders are processes, which read files."""
    try:
        source = store_of(address).open(address)
    except FileNotFoundError as error:
        raise _unreadable(error) from None
    with source:
        if most is not None and source.size() > most:
            raise _too_large(source.size(), most)
        file = cast(BinaryIO, tempfile.TemporaryFile(prefix="imgdiff-"))  # noqa: SIM115
        shutil.copyfileobj(source, file, PIECE)
    file.seek(0)
    return file


def _open_regular(path: PurePath, follow: bool) -> BinaryIO:
    try:
        status = os.stat(path, follow_symlinks=follow)
    except (OSError, ValueError) as error:
        raise _unreadable(error) from None
    _check_kind(status)
    try:
        # What stands there may have been exchanged since; and without O_NONBLOCK, a pipe waits for a writer.
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW)
        file = os.fdopen(os.open(path, flags), "rb")
    except OSError as error:
        raise _unreadable(error) from None
    try:
        _check_kind(os.fstat(file.fileno()))
    except UnusableFile:
        file.close()
        raise
    return file


def read_inside(name: str, folders: Sequence[PurePath], most: int) -> bytes:
    """At most `most` bytes of a file that lies in one of `folders`, to the first of which its path is relative.

    Where there is no such file, the path is tried from the next folder. Links are followed as long as they lead into
    one of them. Raises UnusableFile.
    """
    with open_given(_inside(name, folders), follow=False, most=most) as file:
        data = file.read(most + 1)
    if len(data) > most:  # it has grown
        raise _too_large(len(data), most)
    return data


def _inside(name: str, folders: Sequence[PurePath]) -> PurePath:
    problem = None
    for folder in folders:
        try:
            path = _real(folder / name)
        except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: links that lead to each other
            problem = problem or _unreadable(error)
            continue
        if not any(path.is_relative_to(_real(allowed, strict=False)) for allowed in folders):
            problem = UnusableFile(f"is outside {folder}; --root names a folder that holds both")
        elif isinstance(path, ObjectAddress) and store_of(path).version(path) is None:
            problem = problem or UnusableFile("cannot be read: no such object")
        else:
            return path
    raise problem or UnusableFile("is in no folder")


def _real(path: PurePath, strict: bool = True) -> PurePath:
    """The path without links and steps up; with `strict`, a file of this machine must be there."""
    if isinstance(path, ObjectAddress):
        return ObjectAddress(os.path.normpath(path))
    return Path(path).resolve(strict=strict)


def _too_large(size: int, most: int) -> UnusableFile:
    return UnusableFile(f"has {bytes_text(size)}; at most {bytes_text(most)} are read")


def _unreadable(error: Exception) -> UnusableFile:
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return UnusableFile(f"cannot be read: {reason}")


def _check_kind(status: os.stat_result) -> None:
    if stat.S_ISLNK(status.st_mode):
        raise UnusableFile("is a link; the file itself is needed")
    if stat.S_ISDIR(status.st_mode):
        raise UnusableFile("cannot be read: Is a directory")
    if not stat.S_ISREG(status.st_mode):
        raise UnusableFile("is no regular file, but a device, a pipe or a socket")
