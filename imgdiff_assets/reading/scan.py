"""Reading one table of the ledger across shards, a few columns and rows of it."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from imgdiff_assets.common.aliases import Integers
from imgdiff_assets.common.errors import ImgDiffError
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.stages.graph import stage_named
from imgdiff_assets.stages.stage import Stage

if TYPE_CHECKING:
    import pyarrow.dataset as ds


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


class DamagedTable(ImgDiffError, ValueError):
    """A table of the ledger that is not a whole Parquet file."""


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
        schema = _with_shard(asset)
        return pa.schema([schema.field(name) for name in names]).empty_table()
    try:
        return _dataset(ledger, asset, wanted).to_table(columns=names, filter=where)
    except (pa.ArrowInvalid, OSError) as error:
        raise _damaged(ledger, asset, error) from error


def ask(ledger: Ledger, asset: str, sql: str) -> list[tuple[Any, ...]]:
    """DuckDB's answer to a question about `rows`, all rows of `asset`: as columns they might not fit into memory.

    Raises DamagedTable.
    """
    import duckdb

    wanted = ledger.shards(asset)
    if not wanted:
        return []
    with duckdb.connect() as connection:
        try:
            # Arrow opens the files: DuckDB takes some names for patterns.
            connection.register("rows", _dataset(ledger, asset, wanted))
            return connection.execute(sql).fetchall()
        except (pa.ArrowInvalid, OSError, duckdb.Error) as error:
            raise _damaged(ledger, asset, error) from error


def _with_shard(asset: str) -> pa.Schema:
    return stage_named(asset).schema.append(pa.field("shard", pa.string()))


def _dataset(ledger: Ledger, asset: str, shards: Sequence[str]) -> "ds.Dataset":
    """The tables of some shards as one, not read yet; their folders say which shard a row is of."""
    import pyarrow.dataset as ds  # here, for it imports pandas: half a second that definitions and help do not need

    schema = _with_shard(asset)
    return ds.dataset(
        [str(ledger.table_path(asset, key)) for key in shards],
        schema=schema,
        format="parquet",
        partitioning=ds.partitioning(pa.schema([schema.field("shard")]), flavor="hive"),
        partition_base_dir=str(ledger.root / asset),
    )


def _damaged(ledger: Ledger, asset: str, error: Exception) -> DamagedTable:
    return DamagedTable(
        f"{ledger.root / asset}: a table cannot be read ({' '.join(str(error).split())}); "
        "`imgdiff run` moves it aside and measures its rows again."
    )
