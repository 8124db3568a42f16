"""Files that are only ever appended to, a JSON document a line: read by one function that doubts each line.

A line that a kill tore, that a disk spoilt or that people edited is passed over, and its number told.
"""

from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import TypeAdapter

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Lines(Generic[T]):
    """The documents of a file in order, and the numbers (from 1) of the lines that are none."""

    values: tuple[T, ...] = ()
    unreadable: tuple[int, ...] = ()


def read_lines(path: Path, kind: TypeAdapter[T], last: int | None = None) -> Lines[T]:
    """The documents of all lines, or of the `last`; without a file there are none. Raises OSError."""
    values, unreadable = [], []
    try:
        with path.open("rb") as file:
            lines = deque(enumerate(file, 1), maxlen=last)
    except FileNotFoundError:
        return Lines()
    for number, line in lines:
        try:
            values.append(kind.validate_json(line))
        except ValueError:
            unreadable.append(number)
    return Lines(tuple(values), tuple(unreadable))
