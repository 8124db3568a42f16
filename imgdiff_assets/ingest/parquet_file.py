"""Parquet files that come in, decoded by a process that such a file may end or fill the memory of."""

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, BinaryIO

import pyarrow as pa

from imgdiff_assets.common.errors import ImgDiffError
from imgdiff_assets.ingest.own_process import started

MODULE = "imgdiff_assets.ingest.parquet_decoding"
TOLD = 2_000
"""Characters of what the process says went wrong."""


class UnreadableParquet(ImgDiffError, ValueError):
    """A file that is no Parquet, or is damaged; the message says how."""


@dataclass(frozen=True, slots=True)
class ParquetRows:
    """All column names of a file, how many rows it says it has, and those of the wanted columns that it has."""

    names: list[str]
    count: int
    batches: Iterator[pa.RecordBatch]


@contextmanager
def open_parquet(file: BinaryIO, wanted: Sequence[str]) -> Iterator[ParquetRows]:
    """The rows of an open file in pieces of some megabytes, for as long as the block.

    Raises UnreadableParquet, at its beginning or where the damage is.
    """
    process = started(MODULE, json.dumps(wanted), stdin=file, stderr=subprocess.PIPE, bufsize=-1)
    assert process.stdout is not None
    try:
        head = process.stdout.readline()
        if not head:
            raise _why(process)
        told = json.loads(head)
        yield ParquetRows(told["names"], told["rows"], _batches(process, process.stdout))
    finally:
        process.kill()
        process.communicate()


def _batches(process: "subprocess.Popen[bytes]", stream: IO[bytes]) -> Iterator[pa.RecordBatch]:
    try:
        with pa.ipc.open_stream(stream) as reader:
            yield from reader
    except (pa.ArrowInvalid, OSError):  # it broke off, or there is none: without rows, or columns, nothing is written
        if process.wait():
            raise _why(process) from None
    if process.wait():
        raise _why(process)


def _why(process: "subprocess.Popen[bytes]") -> UnreadableParquet:
    assert process.stderr is not None
    told = process.stderr.read().decode("utf-8", "replace")[:TOLD]
    code = process.wait()
    return UnreadableParquet(told if code == 1 else f"it is damaged: its decoder died of it, exit status {code}")
