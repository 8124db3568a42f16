"""What a Parquet file's footer says: the columns, the row groups, and where in the file each lies."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from imgdiff_assets.common.aliases import Integers
from imgdiff_assets.common.errors import ImgDiffError

PARQUET = b"PAR1"
KEPT = 2**16
"""Bytes of a footer up to which it is kept as it was read: questions over many shards ask for each several times."""


class Unsound(ImgDiffError, ValueError):
    """A file whose footer or checksums are not what was written; says what is wrong in some words."""


@dataclass(frozen=True, slots=True)
class Layout:
    """A footer, read. `bounds` are the rows at which row groups begin, and their number.

    A file has a chunk for each row group and part of a column: `parts` are the numbers of a column's parts. An image
    is a struct, hence of two.
    """

    metadata: pq.FileMetaData
    schema: pa.Schema
    bounds: Integers
    parts: Mapping[str, range]

    @property
    def groups(self) -> range:
        return range(len(self.bounds) - 1)

    def chunk_starts(self) -> list[int]:
        """Where each chunk begins, in the order of the file, and where the last one ends.

        Only for a file that is whole: pyarrow ends the process for some damaged footers.
        """
        starts, end = [], len(PARQUET)
        for number in self.groups:
            group = self.metadata.row_group(number)
            for column in map(group.column, range(self.metadata.num_columns)):
                # A column of no rows has nowhere to begin.
                start = column.dictionary_page_offset if column.has_dictionary_page else column.data_page_offset
                starts.append(start or end)
                end = starts[-1] + column.total_compressed_size
        return [*starts, end]


def read_layout(footer: bytes) -> Layout:
    """What a footer says. Raises Unsound."""
    return _keep(footer) if len(footer) <= KEPT else _read(footer)


def _read(footer: bytes) -> Layout:
    try:
        whole = PARQUET + footer + len(footer).to_bytes(4, "little") + PARQUET
        metadata = pq.read_metadata(pa.BufferReader(whole))
        sizes = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        parts, first = {}, 0
        schema = metadata.schema.to_arrow_schema()
        for field in schema:
            end = first + _leaves(field.type)
            parts[field.name], first = range(first, end), end
        layout = Layout(metadata, schema, np.cumsum([0, *sizes]), parts)
    except Exception as error:  # a footer without a checksum may say anything, and pyarrow raises what it likes
        raise Unsound(f"its footer is damaged: {' '.join(str(error).split())}") from error
    return layout


_keep = lru_cache(maxsize=1024)(_read)


def _leaves(kind: pa.DataType) -> int:
    parts = [kind.field(number).type for number in range(kind.num_fields)]
    return sum(map(_leaves, parts)) if parts else 1
