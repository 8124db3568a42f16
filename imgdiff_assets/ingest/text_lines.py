"""The lines of a UTF-8 file, one at a time: a file of any size is read in little memory."""

import codecs
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, TextIO

from imgdiff_assets.common.errors import ImgDiffError

LONGEST_LINE = 64 * 2**20
"""Characters: as many as a picture of 48 MB has in base64."""

BYTE_ORDER_MARK = "\ufeff"
KEPT = 1_000


@dataclass(frozen=True, slots=True)
class Unreadable:
    """What stands where a value should, with the reason why it is none."""

    reason: str
    text: str = ""

    def __str__(self) -> str:
        return self.text


class NotUtf8(ImgDiffError, UnicodeError):
    """Raised with the line and the byte of a file where it stops being UTF-8."""


def lines_of(file: BinaryIO, longest: int = LONGEST_LINE) -> Iterator[str | Unreadable]:
    """Each line without its end and without a byte order mark, which files that were joined have in the middle.

    Lines end with LF, CR or both. One that is longer than `longest` is passed over, and Unreadable. Raises NotUtf8.
    """
    with text_of(file) as text:
        while line := text.readline(longest + 1):
            if len(line) <= longest or line.endswith("\n"):
                yield line.removesuffix("\n").lstrip(BYTE_ORDER_MARK)
                continue
            beginning = line[:KEPT]
            while line and not line.endswith("\n"):
                line = text.readline(longest)
            yield Unreadable(f"is a line of more than {longest:,} characters", beginning)


@contextmanager
def text_of(file: BinaryIO) -> Iterator[TextIO]:
    """The file as text, left open. Raises NotUtf8 from whatever reads it within the block."""
    text = io.TextIOWrapper(file, encoding="utf-8")
    try:
        yield text
    except UnicodeDecodeError:
        raise NotUtf8(_first_wrong_byte(file)) from None
    finally:
        if not file.closed:
            text.detach()


def _first_wrong_byte(file: BinaryIO) -> tuple[int, int]:
    """Its line, from 1, and its place in the file, from 0."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    file.seek(0)
    done, line = 0, 1
    while True:
        chunk, pending = file.read(2**20), decoder.getstate()[0]
        try:
            decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            return line + (pending + chunk).count(b"\n", 0, error.start), done - len(pending) + error.start
        if not chunk:
            return line, done
        done, line = done + len(chunk), line + chunk.count(b"\n")
