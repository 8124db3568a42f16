"""Reading one table of the ledger across shards, a few columns and rows of it."""

from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from imgdiff_assets.graph import stage_named
from imgdiff_assets.ledger import Ledger

PARENT_IDS: Mapping[str, str] = {
    "prompt_pairs": "caption_id",
    "image_pairs": "pair_id",
    "filtered_pairs": "pair_id",
    "bounding_boxes": "pair_id",
    "captions": "region_id",
    "fine_tune_set": "region_id",
}
"""The column that names the row above: the chain from a caption to its samples."""


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
    present = ledger.shards(asset)
    wanted = present if shards is None else [key for key in present if key in set(shards)]
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
        raise DamagedTable(
            f"{ledger.root / asset}: a table cannot be read ({' '.join(str(error).split())}); "
            "`imgdiff run` moves it aside and measures its rows again."
        ) from error
