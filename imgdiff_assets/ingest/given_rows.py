"""One row of a folder or table that people bring: its fields, and the bytes of the pictures that it names."""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any
from urllib.parse import unquote_to_bytes

from imgdiff_assets.common.errors import ImgDiffError
from imgdiff_assets.common.plain_text import shortened
from imgdiff_assets.ingest.cleaning import UnusableText, clean
from imgdiff_assets.ingest.given_files import UnusableFile, read_inside
from imgdiff_assets.ingest.photograph import MOST_BYTES
from imgdiff_assets.ingest.text_lines import Unreadable

BASE64 = re.compile(r"[A-Za-z0-9+/\s]{100,}=*\s*")
"""No path looks so: an extension has a dot before it."""


class UnusableField(ImgDiffError, ValueError):
    """A field of a row that cannot be used: its name, and why."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name, self.reason = name, reason


@dataclass(frozen=True, slots=True)
class GivenRow:
    """One row of a source, by `file` and `line` (from 1): the values of its fields, or what is wrong with it.

    Paths are those of files in one of `folders`, and relative to the first.
    """

    file: str
    line: int
    values: Mapping[str, Any] = field(default_factory=dict)
    problem: UnusableField | None = None
    folders: Sequence[PurePath] = ()

    def image(self, name: str) -> bytes:
        """The encoded bytes of an image. Raises UnusableField."""
        value = self.values.get(name)
        if isinstance(value, Mapping):
            value = value.get("bytes") or value.get("path")
        if isinstance(value, bytes):
            return value
        if isinstance(value, Unreadable):
            raise UnusableField(name, value.reason)
        if not isinstance(value, str) or not value:
            raise UnusableField(name, "is missing" if not value else f"is {type(value).__name__}, not an image")
        try:
            return self._bytes_of(value)
        except UnusableFile as error:
            raise UnusableField(name, f"{shortened(value)}: {error}") from None

    def path(self, name: str) -> str | None:
        """What the file of an image is called, where it has a name: bytes in a table may have one beside them."""
        value = self.values.get(name)
        if isinstance(value, Mapping):
            value = value.get("path")
        if not isinstance(value, str) or not value or value.startswith("data:") or BASE64.fullmatch(value):
            return None
        return value

    def _bytes_of(self, text: str) -> bytes:
        if text.startswith("data:"):
            kind, _, rest = text.partition(",")
            data = unquote_to_bytes(rest)
            return _from_base64(data) if kind.endswith(";base64") else data
        if BASE64.fullmatch(text):
            return _from_base64(text.encode())
        if re.match(r"\w+://", text):
            raise UnusableFile("is an address; pictures are not fetched")
        return read_inside(text, self.folders, MOST_BYTES)


@dataclass(frozen=True, slots=True)
class GivenSource:
    """The rows of a source, one at a time; how many there are, 0 where that is not known before; files left alone."""

    rows: Iterator[GivenRow]
    total: int = 0
    not_looked_at: Sequence[str] = ()


def _from_base64(text: bytes) -> bytes:
    try:
        return base64.b64decode(b"".join(text.split()), validate=True)
    except binascii.Error as error:
        raise UnusableFile(f"is no base64 ({error})") from None


def text_of(row: GivenRow, name: str) -> str | None:
    """A text of a row, cleaned; None where there is none. Raises UnusableField."""
    value = row.values.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, Unreadable):
        raise UnusableField(name, value.reason)
    try:
        return clean(value)
    except UnusableText as error:
        raise UnusableField(name, str(error)) from None
