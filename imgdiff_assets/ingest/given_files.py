"""Files that others name or send: only regular ones are opened, only so much is read, and no path leads out."""

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from imgdiff_assets.common.errors import ImgDiffError
from imgdiff_assets.common.plain_text import bytes_text


class UnusableFile(ImgDiffError, ValueError):
    """A file that is not read; the message says why, after its name."""


def open_given(path: Path, follow: bool = True) -> BinaryIO:
    """Open a regular file to read its bytes; with `follow`, a link to one too. Raises UnusableFile.

    A device, a pipe or a socket is not opened: it may never end, wait for ever, or do something when it is read.
    """
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


def read_inside(name: str, folders: Sequence[Path], most: int) -> bytes:
    """At most `most` bytes of a file that lies in one of `folders`, to the first of which its path is relative.

    Where there is no such file, the path is tried from the next folder. Links are followed as long as they lead into
    one of them. Raises UnusableFile.
    """
    with open_given(_inside(name, folders), follow=False) as file:
        size = os.fstat(file.fileno()).st_size
        data = file.read(most + 1) if size <= most else b""
    if size > most or len(data) > most:
        raise UnusableFile(f"has {bytes_text(size)}; at most {bytes_text(most)} are read")
    return data


def _inside(name: str, folders: Sequence[Path]) -> Path:
    problem = None
    for folder in folders:
        try:
            path = (folder / name).resolve(strict=True)
        except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: links that lead to each other
            problem = problem or _unreadable(error)
            continue
        if any(path.is_relative_to(allowed.resolve()) for allowed in folders):
            return path
        problem = UnusableFile(f"is outside {folder}; --root names a folder that holds both")
    raise problem or UnusableFile("is in no folder")


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
