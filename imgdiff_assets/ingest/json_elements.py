"""The elements of the lists in a JSON document, one at a time: a document of any size is read in little memory."""

import json
from collections.abc import Iterator
from typing import Any, TextIO

LONGEST_ELEMENT = 64 * 2**20
"""Characters of one value that is not a list at the top."""

CHUNK = 2**16
SPACE = " \t\n\r\ufeff"
"""And a byte order mark."""

AFTER_VALUE = {*SPACE, *",:]}"}


def elements(text: TextIO) -> Iterator[tuple[str, Any]]:
    """(name, element) for each element of each list in the object that the document is; "" if it is a list itself.

    Raises ValueError where it is not JSON, or neither an object nor a list.
    """
    source = _Source(text)
    if source.take("["):
        yield from (("", element) for element in _list(source))
    elif source.take("{"):
        yield from _object(source)
    else:
        raise ValueError("neither an object nor a list")
    if source.next() != "":
        raise ValueError("something follows the end")


def _list(source: "_Source") -> Iterator[Any]:
    if source.take("]"):
        return
    while True:
        yield source.value()
        if source.take("]"):
            return
        source.expect(",")


def _object(source: "_Source") -> Iterator[tuple[str, Any]]:
    if source.take("}"):
        return
    while True:
        name = source.value()
        source.expect(":")
        if source.take("["):
            yield from ((str(name), element) for element in _list(source))
        else:
            source.value()
        if source.take("}"):
            return
        source.expect(",")


class _Source:
    """What of the document has been read and not yet taken."""

    def __init__(self, text: TextIO) -> None:
        self._text, self._held, self._place, self._ended = text, "", 0, False
        self._decode = json.JSONDecoder().raw_decode

    def next(self) -> str:
        """The next character that is not white space; "" at the end."""
        while True:
            while self._place < len(self._held) and self._held[self._place] in SPACE:
                self._place += 1
            if self._place < len(self._held) or not self._read(CHUNK):
                return self._held[self._place : self._place + 1]

    def take(self, character: str) -> bool:
        """Pass over the next character if it is this one."""
        found = self.next() == character
        self._place += found
        return found

    def expect(self, character: str) -> None:
        if not self.take(character):
            raise ValueError(f"{character!r} is missing before {self._held[self._place : self._place + 20]!r}")

    def value(self) -> Any:
        """The next value, whole."""
        self.next()
        size = CHUNK
        while True:
            try:
                value, end = self._decode(self._held, self._place)
            except json.JSONDecodeError as error:
                # Wrong, or not all of it has been read.
                if len(self._held) - self._place > LONGEST_ELEMENT or not self._read(size):
                    raise ValueError(error.msg) from None
            else:
                # A number may go on behind what has been read.
                if self._held[end : end + 1] in AFTER_VALUE or not self._read(size):
                    self._place = end
                    return value
            size *= 2

    def _read(self, size: int) -> bool:
        """Whether there was more."""
        if self._ended:
            return False
        more = self._text.read(size)
        self._held, self._place, self._ended = self._held[self._place :] + more, 0, not more
        return bool(more)
