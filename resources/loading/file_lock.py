"""Locks that say who holds them. The kernel frees one when its process ends, however it ends."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

Say = Callable[[str], None]

LOOK = 0.05
"""Seconds between looks at locks that others hold."""

UNNAMED, WAITING = "another run", "; waiting for it to finish"


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
    with one_held({path: what}, holder, on_wait):
        yield


@contextmanager
def one_held(places: Mapping[Path, str], holder: str, on_wait: Say | None = None) -> Iterator[Path]:
    """Hold one of several locks, the first that is free; which one is what the block gets."""
    for path in places:
        path.parent.mkdir(parents=True, exist_ok=True)
    locks = {path: FileLock(_beside(path, ".lock")) for path in places}
    mine = _first_free(locks)
    if mine is None and on_wait is not None:
        on_wait("; ".join(f"{what} is held by {_who(path)}" for path, what in places.items()) + WAITING)
    while mine is None:
        time.sleep(LOOK)
        mine = _first_free(locks)
    note = _beside(mine, ".holder")
    try:
        note.write_text(holder, encoding="utf-8")
        yield mine
    finally:
        note.unlink(missing_ok=True)
        locks[mine].release()


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _first_free(locks: Mapping[Path, FileLock]) -> Path | None:
    for path, lock in locks.items():
        with suppress(Timeout):
            lock.acquire(timeout=0)
            return path
    return None


def _who(path: Path) -> str:
    with suppress(FileNotFoundError):  # let go just now
        return _beside(path, ".holder").read_text(encoding="utf-8") or UNNAMED
    return UNNAMED
