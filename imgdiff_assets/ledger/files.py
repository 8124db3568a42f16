"""Files of this machine that are never there in part: written atomically, appended to by whole lines."""

import fcntl
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath
from typing import BinaryIO

from imgdiff_assets.common.errors import ImgDiffError

TEMPORARY = ".tmp"
"""How the name of a file that is being written ends; one that a kill left behind may be removed."""

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
    with explained(path):
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


@contextmanager
def explained(path: PurePath) -> Iterator[None]:
    """Raises NotWritten for what keeps a file from being written."""
    try:
        yield
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

    One writer at a time: a line half written by another would be taken for one torn by a kill.
    """
    with _alone_with(path) as file:
        size = file.seek(0, os.SEEK_END)
        if size > 0:
            file.seek(size - 1)
            if file.read(1) != b"\n":
                file.write(b"\n")
        file.write("".join(line + "\n" for line in lines).encode("utf-8"))
        file.flush()
        _wait_for_disk(file.fileno())


def drop_lines(path: Path, goes: Callable[[bytes], bool]) -> None:
    """Take lines out of a file, if it is there; one that is appended meanwhile stays."""
    if not path.exists():
        return
    with _alone_with(path) as file:
        file.seek(0)
        lines = file.read().splitlines(keepends=True)
        staying = [line for line in lines if not goes(line)]
        if len(staying) < len(lines):
            with atomic_file(path) as temporary:
                temporary.write_bytes(b"".join(staying))


@contextmanager
def _alone_with(path: Path) -> Iterator[BinaryIO]:
    """The file, open for appending, which no other process appends to or replaces meanwhile."""
    while True:
        with path.open("ab+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file.fileno()), path.stat()):  # else it was replaced before
                    yield file
                    return


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
