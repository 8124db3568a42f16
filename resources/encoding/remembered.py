"""What a model made of pictures or texts, remembered by their content: asked for again, it is not computed again.

In its last bits a result depends on how many were computed together, and for some models on how far texts were filled
up, though on nothing else. So it is remembered with the size and kind of its batch, and what is missing is computed in
batches as large as it would have been in: what is given is, bit for bit, what is computed where nothing is remembered.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

Value = TypeVar("Value")
Encode = Callable[[Sequence[int], Hashable], Iterable[Value]]
"""Takes the places of some things, as many as a batch has, and its kind; gives what is made of each."""


@dataclass(frozen=True, slots=True)
class Group:
    """Things, by their places, that are computed in batches of one `size` and `kind`, all of them full."""

    places: Sequence[int]
    size: int
    kind: Hashable = None


def in_batches(count: int, size: int) -> Iterator[Group]:
    """`count` things in batches of `size`, the last of which may be smaller."""
    whole = count - count % size
    if whole:
        yield Group(range(whole), size)
    if whole < count:
        yield Group(range(whole, count), count - whole)


class Remembered(Generic[Value]):
    """Results by content, those that were asked for last, up to `limit` bytes by what `size_of` says of each."""

    def __init__(self, limit: int, size_of: Callable[[Value], int]) -> None:
        self._limit, self._size_of = limit, size_of
        self._known: OrderedDict[Hashable, Value] = OrderedDict()
        self.bytes = 0

    def all(
        self,
        groups: Sequence[Group],
        contents: Sequence[Hashable],
        encode: Encode[Value],
        keep: Callable[[Value], Value] = lambda value: value,
    ) -> list[Value]:
        """The result of each thing; `contents` are equal for equal things. `keep` makes what is held of a result."""
        found: dict[int, Value] = {}
        for group in groups:
            keys = {place: (contents[place], group.size, group.kind) for place in group.places}
            made = {key: self._known[key] for key in dict.fromkeys(keys.values()) if key in self._known}
            for key in made:
                self._known.move_to_end(key)
            missing = list({key: place for place, key in keys.items() if key not in made}.values())
            others = [place for place in group.places if place not in set(missing)]
            asked = [*missing, *others[: -len(missing) % group.size]]
            for start in range(0, len(asked), group.size):
                batch = asked[start : start + group.size]
                for place, value in zip(batch, encode(batch, group.kind), strict=True):
                    if keys[place] not in made:
                        made[keys[place]] = value
                        self._hold(keys[place], keep(value))
            found |= {place: made[key] for place, key in keys.items()}
        return [found[place] for place in sorted(found)]

    def _hold(self, key: Hashable, value: Value) -> None:
        self._known[key] = value
        self.bytes += self._size_of(value)
        while self.bytes > self._limit:
            _, gone = self._known.popitem(last=False)
            self.bytes -= self._size_of(gone)


def content_of(image: NDArray[np.uint8]) -> bytes:
    """A digest of an image's shape and pixels, wherever it is cut out of."""
    digest = hashlib.blake2b(repr(image.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(image).data)
    return digest.digest()
