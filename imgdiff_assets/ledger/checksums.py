"""Checksums of a Parquet file: between its rows and its footer, where other readers see a gap.

    PAR1 | rows | checksums of the rows, the footer once more, their lengths and SHA-256, MARK | footer | length, PAR1

The rows lie in chunks, one column of one row group each, which have a CRC-32: so whoever reads some columns of some
rows checks those bytes and no others. The footer says where everything lies; so it is there twice.
"""

import hashlib
import struct
import zlib
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from imgdiff_assets.common.aliases import Integers
from imgdiff_assets.ledger.layout import PARQUET, Layout, Unsound, read_layout

MARK = b"IMGDIFF1"
CHUNK = np.dtype([("bytes", "<u8"), ("crc32", "<u4")])
END = struct.Struct("<QQ32s8s")
"""How many chunks, how many bytes of footer, SHA-256 of both and of these two numbers, MARK."""

LENGTHS = struct.Struct("<QQ")
TAIL = struct.Struct("<I4s")
PIECE = 2**24
"""Bytes that are read at once."""

SEARCHED = 2**26
"""Bytes at the end of a damaged file in which its checksums are looked for."""


@dataclass(frozen=True, slots=True)
class Footer:
    """What a Parquet file says of itself, checked.

    `chunks` are the lengths and checksums of its chunks, (row groups, columns) of `CHUNK`, and `offsets` where each
    begins; None in a file that was written before there were any.
    """

    layout: Layout
    chunks: npt.NDArray[np.void] | None = None
    offsets: Integers | None = None

    def is_whole(self, source: pa.NativeFile, group: int, column: int) -> bool:
        """Whether the bytes of one chunk are those that were written. For a file that has checksums."""
        assert self.chunks is not None
        assert self.offsets is not None
        length, expected = self.chunks[group, column].tolist()
        return bool(_crc32(source, int(self.offsets[group, column]), length) == expected)


def read_footer(source: pa.NativeFile) -> Footer:
    """The footer of an open file, if it and the file's size are what was written. Raises Unsound, OSError."""
    if source.size() < len(PARQUET) + TAIL.size or _bytes(source, 0, len(PARQUET)) != PARQUET:
        raise Unsound("is not a Parquet file, or its beginning or end is missing")
    start, footer = _footer(source)
    found = _checksums_before(source, start)
    if found is None:
        return Footer(read_layout(footer))
    if found[1] != footer:
        raise Unsound("its footer is damaged")
    return _with_checksums(*found)


def rescue_footer(source: pa.NativeFile) -> Footer:
    """The same; of a damaged file the second footer will do, or the first without the checksums.

    What has checksums can be trusted none the less. Raises Unsound, OSError.
    """
    try:
        return read_footer(source)
    except Unsound:
        pass
    size = source.size()
    begin = max(0, size - SEARCHED)
    end = _bytes(source, begin, size - begin).rfind(MARK)
    if end >= 0:
        start = begin + end + len(MARK)
        try:
            if (found := _checksums_before(source, start)) is not None:
                return _with_checksums(*found)
        except Unsound:
            pass
    return Footer(read_layout(_footer(source)[1]))


def add_checksums(path: Path) -> None:
    """Give a Parquet file that was just written its checksums. Raises OSError."""
    with pa.OSFile(str(path)) as source:
        start, footer = _footer(source)
        starts = read_layout(footer).chunk_starts()
        chunks = np.array([(end - at, _crc32(source, at, end - at)) for at, end in pairwise(starts)], dtype=CHUNK)
    body = chunks.tobytes() + footer
    lengths = LENGTHS.pack(len(chunks), len(footer))
    digest = hashlib.sha256(body + lengths).digest()
    with path.open("r+b") as file:
        file.seek(start)
        file.write(body + lengths + digest + MARK + footer + TAIL.pack(len(footer), PARQUET))


def _footer(source: pa.NativeFile) -> tuple[int, bytes]:
    """Where the footer begins, and the footer."""
    size = source.size()
    length, mark = _unpack(TAIL, source, size - TAIL.size) if size >= TAIL.size else (0, b"")
    start = size - TAIL.size - length
    if mark != PARQUET or start < len(PARQUET):
        raise Unsound("its end is damaged or missing")
    return start, _bytes(source, start, length)


def _checksums_before(source: pa.NativeFile, start: int) -> tuple[npt.NDArray[np.void], bytes, int] | None:
    """Checksums, second footer, and where both begin, if they lie before `start`; None if there are none."""
    at = start - END.size
    if at < len(PARQUET):
        return None
    count, length, digest, mark = _unpack(END, source, at)
    begin = at - count * CHUNK.itemsize - length
    body = _bytes(source, begin, at - begin) if begin >= len(PARQUET) else b""
    right = hashlib.sha256(body + LENGTHS.pack(count, length)).digest() == digest
    # Both are looked at: a file whose MARK is damaged is not one of before.
    if right != (mark == MARK):
        raise Unsound("its checksums are damaged")
    return (np.frombuffer(body, CHUNK, count), body[count * CHUNK.itemsize :], begin) if right else None


def _with_checksums(chunks: npt.NDArray[np.void], footer: bytes, begin: int) -> Footer:
    layout = read_layout(footer)
    ends = len(PARQUET) + np.cumsum(chunks["bytes"], dtype=np.int64)
    if (ends[-1] if len(ends) else len(PARQUET)) != begin:
        raise Unsound("it is shorter or longer than it was written")
    shape = len(layout.groups), layout.metadata.num_columns
    offsets = ends - chunks["bytes"].astype(np.int64)
    return Footer(layout, chunks.reshape(shape), offsets.reshape(shape))


def _crc32(source: pa.NativeFile, start: int, length: int) -> int:
    value = 0
    for at in range(start, start + length, PIECE):
        value = zlib.crc32(_bytes(source, at, min(PIECE, start + length - at)), value)
    return value


def _unpack(kind: struct.Struct, source: pa.NativeFile, start: int) -> tuple[Any, ...]:
    data = _bytes(source, start, kind.size)
    if len(data) < kind.size:
        raise Unsound("it was cut off while it was read")
    return kind.unpack(data)


def _bytes(source: pa.NativeFile, start: int, length: int) -> bytes:
    """Fewer where the file ends."""
    source.seek(start)
    return bytes(source.read(length))
