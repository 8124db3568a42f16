"""A lock that is an object: it must be renewed, for nobody frees it when its holder's machine is gone.

No clocks are compared. Who waits takes the lease when he has seen it unchanged for as long as one lasts; who holds it
holds it no longer when he has not renewed it for as long, and asks before he commits.
"""

import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import PurePath
from typing import Protocol

from imgdiff_assets.common.aliases import Say
from imgdiff_assets.common.errors import ImgDiffError
from imgdiff_assets.ledger.store.entry import Expected, LeaseLost, Replaced

SECONDS = 20.0
"""How long a lease lasts that is not renewed."""

BETWEEN_RENEWALS = 5.0
BETWEEN_LOOKS = 1.0


class Objects(Protocol):
    """What a lease needs of a store."""

    def read(self, address: PurePath) -> tuple[bytes, str]: ...

    def put(self, address: PurePath, data: bytes, expected: Expected) -> str: ...


@contextmanager
def lease(
    store: Objects,
    address: PurePath,
    what: str,
    holder: str,
    on_wait: Say | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Callable[[], None]]:
    """Hold the lease at `address` while the block lasts; see `Store.held`."""
    held = _Lease(store, address, what, holder)
    held.take(on_wait, sleep)
    ended = threading.Event()
    renewing = threading.Thread(target=held.renew_until, args=(ended,), name=f"lease of {what}", daemon=True)
    renewing.start()
    try:
        yield held.confirm
    finally:
        ended.set()
        renewing.join()
        held.release()


class _Lease:
    def __init__(self, store: Objects, address: PurePath, what: str, holder: str) -> None:
        self._store, self._address, self._what, self._holder = store, address, what, holder
        self._version: str | None = None
        self._token, self._writes = secrets.token_hex(8), 0
        self._lock = threading.Lock()

    def take(self, on_wait: Say | None, sleep: Callable[[float], None]) -> None:
        """Return when it is held."""
        seen, since = None, time.monotonic()
        told = False
        while True:
            holder, _, version = self._look()
            if version != seen:
                seen, since = version, time.monotonic()
            if not holder or time.monotonic() - since > SECONDS:
                with suppress(Replaced):  # another was faster
                    self._write(self._holder, version)
                    return
                continue
            if on_wait is not None and not told:
                on_wait(f"{self._what} is held by {holder}; waiting for it to finish")
                told = True
            sleep(BETWEEN_LOOKS)

    def renew_until(self, ended: threading.Event) -> None:
        """Keep it until then; a store that does not answer is asked again."""
        while not ended.wait(BETWEEN_RENEWALS):
            try:
                self.confirm()
            except LeaseLost:
                return
            except ImgDiffError:
                continue

    def confirm(self) -> None:
        """Renew it. Raises LeaseLost where another has taken it since."""
        with self._lock:
            try:
                try:
                    self._write(self._holder, self._version)
                except Replaced:
                    _, token, version = self._look()
                    if token != self._token:
                        raise
                    self._write(self._holder, version)  # the answer to an earlier renewal was lost
            except Replaced as error:
                raise LeaseLost(
                    f"{self._what}: this process was held up for so long that another may have taken over; nothing of "
                    "it is in the table. What was measured is kept; run again."
                ) from error

    def release(self) -> None:
        """Let others have it: at once, or, where the store does not answer, when it ends."""
        with suppress(ImgDiffError), self._lock:
            self._write("", self._version)

    def _look(self) -> tuple[str, str, str | None]:
        """Who holds it, empty if nobody does, by which token, and the lease's version."""
        try:
            data, version = self._store.read(self._address)
        except FileNotFoundError:
            return "", "", None
        try:
            known = json.loads(data)
            return str(known["holder"]), str(known["token"]), version
        except (ValueError, KeyError, TypeError):
            return "another run", "", version

    def _write(self, holder: str, expected: str | None) -> None:
        # The count makes each renewal another object than those before, for some stores know objects by their content.
        self._writes += 1
        text = json.dumps({"holder": holder, "token": self._token, "writes": self._writes})
        self._version = self._store.put(self._address, text.encode(), expected)
