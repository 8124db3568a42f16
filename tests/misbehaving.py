"""A bucket that misbehaves by seed: requests fail before or after they took effect, answers are too short."""

import random
from collections.abc import Callable, Sequence
from typing import Any

from obstore.exceptions import GenericError
from obstore.store import MemoryStore

BEFORE, AFTER, BUSY, SHORT = "before", "after", "busy", "short"
FAULTS = (BEFORE, AFTER, BUSY, SHORT)


class Misbehaving:
    """One of obstore's stores of which a `share` of requests fail, up to `in_a_row` one after the other."""

    def __init__(self, seed: int = 0, share: float = 0.0, in_a_row: int = 4, kinds: Sequence[str] = FAULTS) -> None:
        self.bucket = MemoryStore()
        self.chance, self.share, self.in_a_row, self.kinds = random.Random(seed), share, in_a_row, kinds
        self.requests: list[str] = []
        self.seen: set[str] = set()
        self._failed = 0

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def request(*arguments: Any, **options: Any) -> Any:
            self.requests.append(name)
            fault = self._fault()
            if fault in (BEFORE, BUSY):
                raise GenericError("503 Slow Down" if fault == BUSY else "error sending request: connection reset")
            result = getattr(self.bucket, name)(*arguments, **options)
            if fault == AFTER:
                raise GenericError("operation timed out: the connection was dropped before an answer came")
            return _Short(result) if fault == SHORT and name == "get" else result

        return request

    def _fault(self) -> str | None:
        if self._failed >= self.in_a_row or self.chance.random() >= self.share:
            self._failed = 0
            return None
        self._failed += 1
        fault = self.chance.choice(self.kinds)
        self.seen.add(fault)
        return fault


class _Short:
    """An answer that ends before it is whole."""

    def __init__(self, result: Any) -> None:
        self.range, self.meta, self._result = result.range, result.meta, result

    def bytes(self) -> bytes:
        return bytes(self._result.bytes())[:-1]


class Careless(MemoryStore):
    """A bucket that knows no conditions."""

    def put(self, path: str, file: Any, **options: Any) -> Any:
        return super().put(path, file, **{**options, "mode": "overwrite"})


class Expired(MemoryStore):
    """One whose credentials were good once."""

    def get(self, *arguments: Any, **options: Any) -> Any:
        raise GenericError("400 Bad Request: <Code>ExpiredToken</Code> The provided token has expired.")

    put = head = list = delete = get
