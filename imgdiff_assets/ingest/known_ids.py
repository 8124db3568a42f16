"""A set of ids that is small in memory: millions of captions are known while others come in."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.uint64]


class KnownIds:
    """Ids of 64 bits in hex, as `content_id` gives them, in eight bytes each."""

    NEW = 100_000
    """So many may be in a set of Python's before they are sorted in."""

    def __init__(self, ids: Iterable[Ids] = ()) -> None:
        """`ids` are arrays as `numbers` gives them."""
        self._sorted = np.unique(np.concatenate([np.empty(0, np.uint64), *ids]))
        self._new: set[int] = set()

    def __contains__(self, identity: str) -> bool:
        number = int(identity, 16)
        if number in self._new:
            return True
        place = int(self._sorted.searchsorted(np.uint64(number)))
        return place < len(self._sorted) and int(self._sorted[place]) == number

    def add(self, identity: str) -> bool:
        """Whether it was not there yet."""
        if identity in self:
            return False
        self._new.add(int(identity, 16))
        if len(self._new) >= self.NEW:
            self._sorted = np.union1d(self._sorted, np.fromiter(self._new, np.uint64, len(self._new)))
            self._new.clear()
        return True


def numbers(ids: Iterable[str]) -> Ids:
    """The numbers that ids in hex are."""
    return np.array([int(identity, 16) for identity in ids], dtype=np.uint64)
