"""Reading one table of the ledger across shards, a few columns and rows of it."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from imgdiff_assets.common.aliases import Integers
from imgdiff_assets.ledger import tables
from imgdiff_assets.ledger.checked_file import DamagedTable
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.stages.graph import stage_named
from imgdiff_assets.stages.stage import Stage

PARTITION = pa.schema([pa.field("shard", pa.string())])


def origins(stage: Stage, table: pa.Table) -> Integers:
    """For each row of a stage, which of `stage.above` is where it comes from: the first that concerns it."""
    result = np.zeros(len(table), dtype=np.int64)
    for number, origin in reversed(list(enumerate(stage.above))):
        here = np.ones(len(table), dtype=bool)
        for name in origin.having:
            here &= table[name].is_valid().to_numpy()
        for name in origin.lacking:
            here &= table[name].is_null().to_numpy()
        result[here] = number
    return result


def keys_above(stage: Stage, table: pa.Table) -> pa.ChunkedArray:
    """A text for each row that names the row above, whatever its table: equal for all rows made of one."""
    first, *others = stage.above
    keys = keys_of(stage, first.table, table[first.id_column])
    numbers = origins(stage, table) if others else None
    for number, origin in enumerate(others, 1):
        keys = pc.if_else(pa.array(numbers == number), keys_of(stage, origin.table, table[origin.id_column]), keys)
    return keys


def keys_of(stage: Stage, asset: str, ids: pa.ChunkedArray) -> pa.ChunkedArray:
    """How `keys_above` names the rows of one table with these ids."""
    return ids if len(stage.above) == 1 else pc.binary_join_element_wise(asset, ids, " ")


def scan(
    ledger: Ledger,
    asset: str,
    columns: Sequence[str],
    where: pc.Expression | None = None,
    shards: Iterable[str] | None = None,
) -> pa.Table:
    """`columns` of the rows of `asset` for which `where` holds, each with its `shard`; shards and rows in order.

    Shards without this table are passed over; a column that an older table lacks is null. Raises DamagedTable.
    """
    wanted = ledger.shards(asset, shards)
    names = [*columns, "shard"]
    if not wanted:
        return _schema(asset, names).empty_table()
    read = [*columns, *_read_by(where, asset)]
    with _named(ledger, asset, wanted, read):
        return _dataset(ledger, asset, wanted, read).to_table(columns=names, filter=where)


def ask(ledger: Ledger, asset: str, columns: Sequence[str], sql: str) -> list[tuple[Any, ...]]:
    """DuckDB's answer to a question about `rows`, which are some columns of all rows of `asset`.

    They might not fit into memory. Raises DamagedTable.
    """
    import duckdb

    keys = ledger.shards(asset)
    if not keys:
        return []
    with duckdb.connect() as connection, _named(ledger, asset, keys, columns):
        connection.register("rows", _dataset(ledger, asset, keys, columns))
        return connection.execute(sql).fetchall()


def _dataset(ledger: Ledger, asset: str, shards: Sequence[str], columns: Sequence[str]) -> Any:
    """The tables as one dataset, of which these columns have been checked; without their images."""
    import pyarrow.dataset as ds  # here, for it imports pandas: half a second that definitions and help do not need

    paths = [ledger.table_path(asset, key) for key in shards]
    for path in paths:
        tables.check(path, columns)
    return ds.dataset(
        list(map(str, paths)),
        schema=_schema(asset),
        format="parquet",
        partitioning=ds.partitioning(PARTITION, flavor="hive"),
        partition_base_dir=str(ledger.root / asset),
    )


@contextmanager
def _named(ledger: Ledger, asset: str, shards: Sequence[str], columns: Sequence[str]) -> Iterator[None]:
    """Say which table is at fault where one without checksums cannot be decoded."""
    try:
        yield
    except DamagedTable:
        raise
    except Exception:  # of wrong bytes pyarrow makes anything
        for key in shards:
            tables.check(ledger.table_path(asset, key), columns, decode=True)
        raise


def _schema(asset: str, names: Sequence[str] | None = None) -> pa.Schema:
    schema = pa.unify_schemas([stage_named(asset).schema, PARTITION])
    return schema if names is None else pa.schema([schema.field(name) for name in names])


def _read_by(where: pc.Expression | None, asset: str) -> list[str]:
    """The columns that an expression names, and perhaps some more: it does not tell them but in its text."""
    return [] if where is None else [name for name in stage_named(asset).schema.names if name in str(where)]
