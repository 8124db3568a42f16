"""Reading one table of the ledger across shards, a few columns and rows of it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.stages.graph import stage_named
from imgdiff_assets.stages.stage import Stage

PARENT_IDS: Mapping[str, str] = {
    "prompt_pairs": "caption_id",
    "image_pairs": "pair_id",
    "filtered_pairs": "pair_id",
    "bounding_boxes": "pair_id",
    "captions": "region_id",
    "removed_pairs": "region_id",
    "removal_captions": "region_id",
    "fine_tune_set": "region_id",
}
"""The column that names the row above: the chain from a caption to its samples."""


SAMPLE_PARENTS = ("captions", "removal_captions")
"""The tables whose regions samples are made of; a sample that is about no region is made of its pair."""


def parent_tables(stage: Stage) -> Sequence[str]:
    """The tables that hold the rows above."""
    return SAMPLE_PARENTS if stage.name == "fine_tune_set" else stage.parents[:1]


def parent_columns(stage: Stage) -> Sequence[str]:
    """The columns that say which row is above: what `parent_of` and `parent_keys` read."""
    return ("region_id", "pair_id", "erased_from") if stage.name == "fine_tune_set" else (PARENT_IDS[stage.name],)


def parent_keys(stage: Stage, table: pa.Table) -> pa.ChunkedArray:
    """A text for each row, the same for all rows made of one; where that is of one table, its id."""
    if stage.name != "fine_tune_set":
        return table[PARENT_IDS[stage.name]]
    erased = own_keys("removal_captions", table["region_id"])
    regions = pc.if_else(pc.is_valid(table["erased_from"]), erased, table["region_id"])
    return pc.coalesce(regions, table["pair_id"])


def own_keys(asset: str, ids: pa.ChunkedArray) -> pa.ChunkedArray:
    """What `parent_keys` is for the rows below those with these ids."""
    return pc.binary_join_element_wise("erased", ids, " ") if asset == "removal_captions" else ids


def parent_of(stage: Stage, row: Mapping[str, Any]) -> tuple[str, str]:
    """Table and id of the row that a row was made of; samples are made of rows of several tables."""
    if stage.name != "fine_tune_set":
        return stage.parents[0], row[PARENT_IDS[stage.name]]
    if row["region_id"] is None:
        return "filtered_pairs", row["pair_id"]
    return ("captions" if row["erased_from"] is None else "removal_captions"), row["region_id"]


class DamagedTable(ValueError):
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
    partition = pa.schema([pa.field("shard", pa.string())])
    schema = pa.unify_schemas([stage_named(asset).schema, partition])
    names = [*columns, "shard"]
    if not wanted:
        return pa.schema([schema.field(name) for name in names]).empty_table()
    table = ds.dataset(
        [str(ledger.table_path(asset, key)) for key in wanted],
        schema=schema,
        format="parquet",
        partitioning=ds.partitioning(partition, flavor="hive"),
        partition_base_dir=str(ledger.root / asset),
    )
    try:
        return table.to_table(columns=names, filter=where)
    except (pa.ArrowInvalid, OSError) as error:
        raise _damaged(ledger, asset, error) from error


def ask(ledger: Ledger, asset: str, sql: str) -> list[tuple[Any, ...]]:
    """DuckDB's answer to a question about `rows`, all rows of `asset`: as columns they might not fit into memory.

    For columns that every table has, older ones too. Raises DamagedTable.
    """
    files = [str(ledger.table_path(asset, key)) for key in ledger.shards(asset)]
    if not files:
        return []
    with duckdb.connect() as connection:
        try:
            connection.read_parquet(files).create_view("rows")
            return connection.execute(sql).fetchall()
        except duckdb.Error as error:
            raise _damaged(ledger, asset, error) from error


def _damaged(ledger: Ledger, asset: str, error: Exception) -> DamagedTable:
    return DamagedTable(
        f"{ledger.root / asset}: a table cannot be read ({' '.join(str(error).split())}); "
        "`imgdiff run` moves it aside and measures its rows again."
    )
