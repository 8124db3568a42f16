"""Files that are only ever appended to, a JSON document a line: read by one function that doubts each line.

A line that a kill tore, that a disk spoilt or that people edited is passed over, and its number told.
"""

import re
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePath
from typing import Generic, TypeVar

from pydantic import TypeAdapter

from imgdiff_assets.ledger.store.store import lines_of

T = TypeVar("T")
BETWEEN = re.compile(rb'(?<=\})[^{}](?=\{")')
"""Where a line may have ended once: nowhere in a text, for there a quotation mark has a backslash before it."""


@dataclass(frozen=True, slots=True)
class Lines(Generic[T]):
    """The documents of a file in order, and the numbers (from 1) of the lines that are none."""

    values: tuple[T, ...] = ()
    unreadable: tuple[int, ...] = ()


def read_lines(path: PurePath, kind: TypeAdapter[T], last: int | None = None) -> Lines[T]:
    """The documents of all lines, or of the `last`; without a file there are none. Raises OSError."""
    values, unreadable = [], []
    for number, line in deque(enumerate(lines_of(path), 1), maxlen=last):
        try:
            values.append(kind.validate_json(line))
        except ValueError:
            unreadable.append(number)
            values += _parts(line, kind)
    return Lines(tuple(values), tuple(unreadable))


def numbered_lines(path: PurePath, kind: TypeAdapter[T]) -> Iterator[tuple[int, T | None]]:
    """Every line in order with its number: what it says, or None where it cannot be read. Raises OSError."""
    for number, line in enumerate(lines_of(path), 1):
        said: T | None = None
        with suppress(ValueError):
            said = kind.validate_json(line)
        yield number, said


def _parts(line: bytes, kind: TypeAdapter[T]) -> Iterator[T]:
    """The documents of a line that are whole: a spoilt line end has made one line of two."""
    for part in BETWEEN.split(line):
        with suppress(ValueError):
            yield kind.validate_json(part)
