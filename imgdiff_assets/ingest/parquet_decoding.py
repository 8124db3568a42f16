"""Rows of a Parquet file, in a process of its own: `python -m imgdiff_assets.ingest.parquet_decoding COLUMNS`.

Its decoder ends the whole process on some damaged files, and a kilobyte can stand for many gigabytes. So the file is
read here, from standard input; `imgdiff_assets.ingest.parquet_file` starts it and takes small pieces.

Written are a line of JSON with the columns that there are (`names`) and the number of `rows`, then those of the JSON
list COLUMNS that the file has, as a stream of Arrow. What went wrong is told on standard error, with status 1.
"""

import json
import os
import signal
import sys
from collections.abc import Collection
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from imgdiff_assets.common.plain_text import bytes_text
from imgdiff_assets.ingest.own_process import MOST_MEMORY, limit_memory

PIECE_BYTES = 2**22
MOST_ROWS_AT_ONCE = 256
"""A value that the file has once may be in all of them."""

LARGEST_ROW = 2**30
MOST_SECONDS = 60
"""For the rows that are decoded at once."""


def write_rows(names: Collection[str]) -> None:
    """Write what the module says. Raises whatever the decoder does."""
    with pq.ParquetFile(sys.stdin.buffer) as table:
        there = table.schema_arrow.names
        head = {"names": there, "rows": table.metadata.num_rows}
        sys.stdout.buffer.write(json.dumps(head).encode() + b"\n")
        wanted = [name for name in there if name in names]
        rows = iter(
            table.iter_batches(_rows_at_once(table.metadata, wanted), columns=wanted, use_threads=False)
            if wanted
            else ()
        )
        writer = None
        signal.alarm(MOST_SECONDS)
        for batch in rows:
            signal.alarm(0)  # whoever takes the rows may take long
            writer = writer or pa.ipc.new_stream(sys.stdout.buffer, batch.schema)
            _write(writer, batch)
            signal.alarm(MOST_SECONDS)
        signal.alarm(0)
        if writer is not None:
            writer.close()


def _write(writer: Any, batch: pa.RecordBatch) -> None:
    """In pieces: a few values on disk may have become gigabytes."""
    count = max(1, PIECE_BYTES * batch.num_rows // max(batch.nbytes, 1))
    for start in range(0, batch.num_rows, count):
        piece = batch.slice(start, count)
        if piece.nbytes > LARGEST_ROW:
            raise ValueError(f"a row has {bytes_text(piece.nbytes)}; at most {bytes_text(LARGEST_ROW)} are read")
        writer.write_batch(piece)


def _rows_at_once(metadata: Any, names: Collection[str]) -> int:
    """So many that they have some megabytes, as the columns are on average: pictures are large, captions small."""
    size = 0
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        chunks = map(group.column, range(group.num_columns))
        size += sum(chunk.total_uncompressed_size for chunk in chunks if chunk.path_in_schema.split(".")[0] in names)
    return max(1, min(MOST_ROWS_AT_ONCE, PIECE_BYTES * int(metadata.num_rows) // max(size, 1)))


def main() -> str:
    """What went wrong; empty if nothing did."""
    try:
        write_rows(json.loads(sys.argv[1]))
        sys.stdout.buffer.flush()
    except MemoryError:
        return f"its rows need more than {MOST_MEMORY / 2**30:.0f} GiB of memory"
    except Exception as error:  # whatever a decoder raises, the file is at fault
        return str(error) or type(error).__name__
    return ""


if __name__ == "__main__":
    limit_memory()
    problem = main()
    os.write(2, problem.encode("utf-8", "replace"))
    # At once: a thread of Arrow's may still hold standard input, and Python aborts where it waits for that.
    os._exit(bool(problem))
