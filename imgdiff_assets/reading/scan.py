"""Reading one table of the ledger across shards, a few columns and rows of it."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from imgdiff_assets.common.aliases import Booleans, Integers
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.stages.graph import stage_named
from imgdiff_assets.stages.stage import Stage

SHARD = pa.field("shard", pa.string())


def origins(stage: Stage, table: pa.Table) -> Integers:
    """For each row of a stage, which of `stage.above` is where it comes from: the first that concerns it."""
    optional = {name for names in stage.columns_with.values() for name in names}

    def there(name: str) -> Booleans:
        if name in optional and name not in table.column_names:
            return np.zeros(len(table), dtype=bool)
        return np.asarray(table[name].is_valid(), dtype=bool)

    result = np.zeros(len(table), dtype=np.int64)
    for number, origin in reversed(list(enumerate(stage.above))):
        here = np.ones(len(table), dtype=bool)
        for name in origin.having:
            here &= there(name)
        for name in origin.lacking:
            here &= ~there(name)
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
    schema: pa.Schema | None = None,
) -> pa.Table:
    """`columns` of the rows of `asset` for which `where` holds, each with its `shard`; shards and rows in order.

    `schema` is that of tables with other columns than the stage's, as those of pictures have.
    Shards without this table are passed over; a column that an older table lacks is null. Raises DamagedTable.
    """
    # Here, for it imports pandas: half a second that definitions and help do not need.
    from pyarrow.dataset import Scanner

    # An expression does not tell the columns that it names but in its text; that some more are read does no harm.
    known = schema or stage_named(asset).schema
    named = () if where is None else [name for name in known.names if name in str(where)]
    rows = _rows(ledger, asset, [*columns, *named], ledger.shards(asset, shards), known)
    return Scanner.from_batches(rows, columns=[*columns, SHARD.name], filter=where).to_table()


def ask(ledger: Ledger, asset: str, columns: Sequence[str], sql: str) -> list[tuple[Any, ...]]:
    """DuckDB's answer to a question about `rows`, which are some columns of all rows of `asset`.

    They might not fit into memory. Raises DamagedTable.
    """
    import duckdb

    with duckdb.connect() as connection:
        connection.register("rows", _rows(ledger, asset, columns, ledger.shards(asset), stage_named(asset).schema))
        try:
            return connection.execute(sql).fetchall()
        except duckdb.Error:  # as which DuckDB passes on that a table is damaged
            _rows(ledger, asset, columns, ledger.shards(asset), stage_named(asset).schema).read_all()
            raise


def _rows(
    ledger: Ledger, asset: str, columns: Sequence[str], shards: Sequence[str], known: pa.Schema
) -> pa.RecordBatchReader:
    """Some columns of all rows of the shards, one shard after the other."""
    schema = pa.schema([known.field(name) for name in dict.fromkeys(columns)])

    def batches() -> Iterator[pa.RecordBatch]:
        for key in shards:
            table = ledger.read(asset, key, schema)
            table = table.append_column(SHARD, pa.repeat(pa.scalar(key), len(table)))
            yield from table.to_batches()

    return pa.RecordBatchReader.from_batches(schema.append(SHARD), batches())
