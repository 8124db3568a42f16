"""An object as a file: read by ranges, all of one version."""

import io
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from imgdiff_assets.ledger.store.entry import Entry

LAST = 2**18
"""Bytes at the end that are asked for first: a Parquet file says there where its rows are, and few are larger."""

KEPT = 4
"""Ranges that are kept: what is compared with a checksum is then decoded."""

Get = Callable[[Mapping[str, Any]], tuple[bytes, Mapping[str, Any]]]
"""`get(options)` gives some bytes, and what is known of the object."""


class ObjectFile(io.RawIOBase):
    """Opened by a request, or by none where its `entry` and its last bytes, `end`, are known.

    Raises FileNotFoundError; once the object is replaced, reading more of it raises StoreUnavailable.
    """

    def __init__(self, get: Get, entry: Entry | None = None, end: bytes | None = None) -> None:
        super().__init__()
        self._get, self._at = get, 0
        if entry is not None and end is not None:
            self.end, self.meta = end, {"size": entry.size, "e_tag": entry.version.partition(" ")[0]}
        else:
            self.end, self.meta = get({"range": {"suffix": LAST}})
        self._size, self._version = int(self.meta["size"]), {"if_match": self.meta["e_tag"]}
        self._ranges = deque([(self._size - len(self.end), self.end)], maxlen=KEPT)

    meta: Mapping[str, Any]

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def read(self, count: int | None = -1) -> bytes:
        start = min(self._at, self._size)
        end = self._size if count is None or count < 0 else min(start + count, self._size)
        data = self._range(start, end)
        self._at = end
        return data

    def _range(self, start: int, end: int) -> bytes:
        for begin, data in self._ranges:
            if begin <= start and end <= begin + len(data):
                return data[start - begin : end - begin]
        data, _ = self._get({"range": (start, end), **self._version})
        self._ranges.append((start, data))
        return data
