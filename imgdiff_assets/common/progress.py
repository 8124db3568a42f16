"""Who is told how far a stage is, and what it meets: a terminal if one listens, and the log."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from imgdiff_assets.common.aliases import Say

Progress = Callable[[str, int, int], None]
"""Called as (what, rows done, rows to do)."""

LOG_EVERY_SECONDS = 10.0

_listeners: list[Progress] = []
_hearers: list[Say] = []


@contextmanager
def listening(progress: Progress) -> Iterator[None]:
    """Send the progress of every stage that runs in this process to `progress` while the block lasts."""
    _listeners.append(progress)
    try:
        yield
    finally:
        _listeners.remove(progress)


@contextmanager
def hearing(say: Say) -> Iterator[None]:
    """Send what the stages that run in this process meet (a shard that is held, a damaged table) to `say` as well."""
    _hearers.append(say)
    try:
        yield
    finally:
        _hearers.remove(say)


def telling(log: Say) -> Say:
    """A function that writes to `log` and tells who hears."""

    def tell(text: str) -> None:
        for say in (log, *_hearers):
            say(text)

    return tell


def logging_progress(log: Say) -> Progress:
    """A progress function that tells the listeners, or, when nobody listens, writes rate and time left to `log`."""
    started: dict[str, float] = {}
    last_line = time.monotonic()

    def progress(what: str, done: int, total: int) -> None:
        nonlocal last_line
        for listener in _listeners:
            listener(what, done, total)
        now = time.monotonic()
        start = started.setdefault(what, now)
        if _listeners or done == 0 or (now - last_line < LOG_EVERY_SECONDS and done < total):
            return
        last_line = now
        rate = done / max(now - start, 1e-9)
        log(f"{what}: {done} of {total} rows, {rate:.2f} rows/s, {(total - done) / rate:.0f} s left")

    return progress
