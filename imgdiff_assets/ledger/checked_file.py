"""The one reader of Parquet files: what it gives is what was written, or it says what of a file is not.

Of a file that was written before there were checksums it gives what decodes.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePath
from types import TracebackType

import pyarrow as pa
import pyarrow.parquet as pq

from imgdiff_assets.common.aliases import Integers
from imgdiff_assets.common.errors import ImgDiffError
from imgdiff_assets.common.plain_text import listed
from imgdiff_assets.ledger.checksums import read_footer, rescue_footer
from imgdiff_assets.ledger.layout import Unsound
from imgdiff_assets.ledger.store.entry import StoreError
from imgdiff_assets.ledger.store.store import store_of

LISTED = 4
"""Places that a sentence about damage names."""


@dataclass(frozen=True, slots=True)
class Damage:
    """Rows of a file from `first` up to, not including, `end`, whose values in a column are lost."""

    first: int
    end: int
    column: str

    def __str__(self) -> str:
        rows = f"row {self.first}" if self.end == self.first + 1 else f"rows {self.first} to {self.end - 1}"
        return f"{self.column} of {rows}"


class DamagedTable(ImgDiffError, OSError):
    """A Parquet file that is not what was written; `damages` are the rows that are lost, all if there are none.

    The message names the file and these rows, which are counted from 0.
    """

    def __init__(self, path: PurePath, reason: str, damages: Sequence[Damage] = ()) -> None:
        super().__init__(
            f"{path} is damaged: {reason}. `imgdiff ledger verify` sets it aside, and the next run makes again what "
            "is lost of it."
        )
        self.path, self.reason, self.damages = path, reason, tuple(damages)


class CheckedFile:
    """An open Parquet file. A context manager; `names` are its columns, `metadata` what its schema carries.

    With `rescue`, a file may be read whose footer is damaged, if there is another. Raises FileNotFoundError,
    DamagedTable.
    """

    def __init__(self, path: PurePath, rescue: bool = False) -> None:
        self.path = path
        self._source = store_of(path).open(path)
        try:
            with self._unsound():
                self._footer = (rescue_footer if rescue else read_footer)(self._source)
                self._layout = self._footer.layout
        except BaseException:
            self._source.close()
            raise

    @property
    def schema(self) -> pa.Schema:
        return self._layout.schema

    @property
    def bounds(self) -> Integers:
        """Where the row groups begin, and the number of rows."""
        return self._layout.bounds

    @property
    def groups(self) -> range:
        return self._layout.groups

    @property
    def names(self) -> list[str]:
        return list(self.schema.names)

    @property
    def has_checksums(self) -> bool:
        return self._footer.chunks is not None

    @property
    def size(self) -> int:
        """Bytes."""
        return int(self._source.size())

    def read(self, columns: Sequence[str], groups: Sequence[int] | None = None) -> pa.Table:
        """Some columns of all row groups, or of some; one that the file lacks is left out. Raises DamagedTable."""
        wanted = [name for name in columns if name in self.schema.names]
        chosen = self.groups if groups is None else groups
        if self.has_checksums:
            self.check(wanted, chosen)
        try:
            return self._parquet.read_row_groups(list(chosen), columns=wanted).replace_schema_metadata(None)
        except StoreError:
            raise
        except Exception as error:
            self.check(wanted, chosen)
            if self.has_checksums:
                raise  # its bytes are right
            raise DamagedTable(self.path, _in_a_line(error)) from error

    def check(self, columns: Sequence[str], groups: Sequence[int] | None = None) -> None:
        """Raises DamagedTable when something in these columns is lost."""
        self.refuse(self.damages(columns, groups))

    def refuse(self, damages: Sequence[Damage]) -> None:
        """Raises DamagedTable where there are any."""
        if damages:
            raise DamagedTable(self.path, f"{', '.join(listed(damages, LISTED))} cannot be read", damages)

    def group_bytes(self, group: int) -> int:
        """How large a row group is when it is unpacked."""
        return int(self._layout.metadata.row_group(group).total_byte_size)

    def damages(self, columns: Sequence[str], groups: Sequence[int] | None = None) -> list[Damage]:
        """What is lost of these columns. Only what is asked for is read."""
        chosen = self.groups if groups is None else groups
        parts = self._layout.parts
        return [
            Damage(int(self.bounds[group]), int(self.bounds[group + 1]), name)
            for group in chosen
            for name in columns
            if name in parts and not self._is_whole(group, name, parts[name])
        ]

    @cached_property
    def _parquet(self) -> pq.ParquetFile:
        # The pages' own checksums too: the only ones there are where those of the chunks are lost.
        return pq.ParquetFile(self._source, metadata=self._layout.metadata, page_checksum_verification=True)

    def _is_whole(self, group: int, name: str, parts: range) -> bool:
        if self.has_checksums:
            try:
                return all(self._footer.is_whole(self._source, group, part) for part in parts)
            except StoreError:
                raise
            except OSError:  # the disk cannot read it
                return False
        try:
            count = len(self._parquet.read_row_group(group, columns=[name]))
            return bool(count == self.bounds[group + 1] - self.bounds[group])
        except StoreError:
            raise
        except Exception:  # of wrong bytes pyarrow makes anything
            return False

    @contextmanager
    def _unsound(self) -> Iterator[None]:
        try:
            yield
        except StoreError:
            raise
        except Unsound as error:
            raise DamagedTable(self.path, str(error)) from error
        except (pa.ArrowException, OSError) as error:
            raise DamagedTable(self.path, _in_a_line(error)) from error

    def __enter__(self) -> "CheckedFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """On some systems an open file cannot be replaced."""
        self._source.close()


def _in_a_line(error: Exception) -> str:
    return " ".join(str(error).split())
