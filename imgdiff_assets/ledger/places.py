"""Where a ledger has what: tables and batches below its root, and the parts with their images beside it."""

from pathlib import PurePath

TABLE = "rows.parquet"
STAGING = ".staging"
SHARD = "shard="
PARTS = "parts"
"""The folder beside a ledger's root; not below it, where each table is found by one listing."""

PARQUET = ".parquet"


def table_path(root: PurePath, asset: str, shard: str) -> PurePath:
    return root / asset / f"{SHARD}{shard}" / TABLE


def staging(root: PurePath, asset: str, shard: str) -> PurePath:
    """Where the batches are of one table."""
    return root / STAGING / asset / shard


def parts_folder(root: PurePath, asset: str, shard: str) -> PurePath:
    """Where the images are of one table and its batches."""
    return root.with_name(PARTS) / asset / f"{SHARD}{shard}"


def part_path(path: PurePath, part: str) -> PurePath:
    """Where a part is that a table, what was set aside of one, or a batch refers to; `path` is where that lies."""
    folder = path.parent
    if folder.name.startswith(SHARD):
        asset, shard, root = folder.parent.name, folder.name.removeprefix(SHARD), folder.parents[1]
    else:
        asset, shard, root = folder.parent.name, folder.name, folder.parents[2]
    return parts_folder(root, asset, shard) / f"{part}{PARQUET}"
