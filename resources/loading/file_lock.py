"""Locks that say who holds them. The kernel frees one when its process ends, however it ends."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

Say = Callable[[str], None]


def holders(folder: Path) -> dict[str, str]:
    """Which locks of a folder are held, by the holder's own words; a note that a kill left behind says nothing."""
    found = {}
    for note in sorted(folder.glob("*.holder")):
        lock = FileLock(note.with_suffix(".lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            with suppress(FileNotFoundError):  # let go just now
                found[note.stem] = note.read_text(encoding="utf-8")
        else:
            lock.release()
    return found


@contextmanager
def held(path: Path, what: str, holder: str, on_wait: Say | None = None) -> Iterator[None]:
    """Hold the lock `<path>.lock` while the block lasts; another process waits.

    `on_wait(text)` is told once that `what` is held, and by whom, as that process described itself in `holder`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    note = path.with_name(path.name + ".holder")
    lock = FileLock(path.with_name(path.name + ".lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if on_wait is not None:
            who = "another run"
            with suppress(FileNotFoundError):  # let go just now
                who = note.read_text(encoding="utf-8") or who
            on_wait(f"{what} is held by {who}; waiting for it to finish")
        lock.acquire()
    try:
        note.write_text(holder, encoding="utf-8")
        yield
    finally:
        note.unlink(missing_ok=True)
        lock.release()
