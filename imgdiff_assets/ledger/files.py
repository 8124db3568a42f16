"""Files that are never there in part: written atomically, appended to by whole lines, moved aside and not lost."""

import datetime
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from imgdiff_assets.common.errors import ImgDiffError

TEMPORARY = ".tmp"
"""How the name of a file that is being written ends; one that a kill left behind may be removed."""

ASIDE = ".damaged"
"""What follows the name of a damaged file that was set aside: what is whole of it is still of use."""

WRONG = ".wrong"
"""The same of a file that reads well and holds what was never written, nobody knows where."""

LONGEST_NAME = 255 - len(TEMPORARY)
"""In bytes: what file systems take, less what is added while a file is written."""


FULL_FLUSH: int | None = getattr(fcntl, "F_FULLFSYNC", None)


class NotWritten(ImgDiffError, OSError):
    """A file that could not be written; what was there is unchanged."""


@contextmanager
def atomic_file(path: Path, durable: bool = True, shared: bool = False) -> Iterator[Path]:
    """A temporary path that becomes `path` when the block ends; nothing is left when it raises.

    `durable` waits until the disk has it: dear where there are many files, needless where they can be made again.
    `shared` is for a file that several threads or processes may write at once: each gets a temporary path of its own,
    which a kill may leave behind, while any other is overwritten by the next attempt. Raises NotWritten
    when the disk is full or cannot be written.
    """
    mark = f".{secrets.token_hex(8)}" if shared else ""
    temporary = path.with_name(f"{path.name}{mark}{TEMPORARY}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_file():
            raise OSError(
                "there is something that is no file; it would be replaced"
            )  # /dev/null, for an administrator
        try:
            yield temporary
            if durable:
                _flush(temporary)
            os.replace(temporary, path)
            if durable:
                _flush(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
    except ImgDiffError:  # which says itself what it is: what was to be copied is damaged, for example
        raise
    except OSError as error:
        reason = " ".join(str(error).split())
        raise NotWritten(f"{path}: cannot be written ({reason}); what was there is unchanged.") from error


def with_ending(path: Path, ending: str) -> Path:
    """`path` with `ending` after its name, whose beginning is left out if a file system would not take the whole."""
    room = LONGEST_NAME - len(os.fsencode(ending))
    return path.with_name(os.fsencode(path.name)[-room:].decode("utf-8", "ignore") + ending)


def remove_leftovers(folder: Path) -> None:
    """Remove what a kill left half-written in a folder; for whoever alone writes there."""
    for leftover in folder.glob(f"*{TEMPORARY}"):
        leftover.unlink()


def append_lines(path: Path, lines: Sequence[str]) -> None:
    """Append lines durably; a last line that a kill tore is ended first, so that it spoils no other.

    For one writer at a time.
    """
    with path.open("ab+") as file:
        size = file.seek(0, os.SEEK_END)
        if size > 0:
            file.seek(size - 1)
            if file.read(1) != b"\n":
                file.write(b"\n")
        file.write("".join(line + "\n" for line in lines).encode("utf-8"))
        file.flush()
        _wait_for_disk(file.fileno())


def set_aside(path: Path, mark: str = ASIDE) -> Path:
    """Rename a damaged file, so that it is neither read nor lost; returns its new path, which says when (UTC).

    Names sort by time, and no file is ever overwritten.
    """
    aside = _free_name(path, mark)
    os.replace(path, aside)
    return aside


def copy_aside(path: Path) -> Path:
    """The same by a copy, for a file that is about to be replaced."""
    aside = _free_name(path, ASIDE)
    shutil.copyfile(path, aside)
    return aside


def _free_name(path: Path, mark: str) -> Path:
    moment = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%SZ")
    names = (path.with_name(f"{path.name}{mark}-{moment}-{number:03d}") for number in count())
    # Taken before the rename, which would overwrite: only the file system knows which names are free.
    return next(name for name in names if _created(name))


def _created(path: Path) -> bool:
    """Create an empty file; False where there is one already."""
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        _wait_for_disk(descriptor)
    finally:
        os.close(descriptor)


def _wait_for_disk(descriptor: int) -> None:
    """Return when the disk has it. On macOS `fsync` leaves it in the drive's own memory, and another call does not."""
    if FULL_FLUSH is not None:
        with suppress(OSError):  # a file system that does not know the call, such as a network's
            fcntl.fcntl(descriptor, FULL_FLUSH)
            return
    os.fsync(descriptor)
