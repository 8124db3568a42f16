"""Room taken back in the folders of image parts; for whoever holds the tables' locks."""

import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from imgdiff_assets.common.aliases import Booleans
from imgdiff_assets.ledger import places, tables
from imgdiff_assets.ledger.aside import ASIDE
from imgdiff_assets.ledger.cells import PART_SCHEMA, PLACE, open_part
from imgdiff_assets.ledger.checked_file import DamagedTable
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.parts import Parts
from imgdiff_assets.ledger.store.entry import Entry
from imgdiff_assets.ledger.store.store import store_of

Places = dict[str, list[dict[str, Any] | None]]
"""By image column, of each row where its image lies."""


@dataclass(slots=True)
class Room:
    """What was taken back: `files` of so many `bytes`, and images that were dropped out of others."""

    files: int = 0
    bytes: int = 0
    images: int = 0


def keep_rows(
    ledger: Ledger,
    asset: str,
    shard: str,
    stays: Booleans,
    record: Mapping[str, Any] | None,
    dropped: Mapping[str, Booleans] | None = None,
) -> None:
    """Replace a table by those of its rows for which `stays` is true, without the images of others.

    With `dropped`, by image column, rows stay whose images go. The parts that the table named are left where they
    are: see `sweep`. Raises as `Ledger.commit`, and DamagedTable.
    """
    found: Places = tables.read_places(ledger.table_path(asset, shard)).to_pydict()
    gone = dropped or {}
    for name, cells in found.items():
        without = gone.get(name, np.zeros(len(cells), dtype=bool))
        found[name] = [
            cell if stay and not drop else None for cell, stay, drop in zip(cells, stays, without, strict=True)
        ]
    moved = _moved(ledger.parts(asset, shard), found)
    columns = {
        name: pa.array([_at(cell, moved) for cell in cells], PLACE).filter(pa.array(stays))
        for name, cells in found.items()
    }
    ledger.keep_rows(asset, shard, stays, record, columns)


def _at(cell: dict[str, Any] | None, moved: Mapping[tuple[str, int], dict[str, Any]]) -> dict[str, Any] | None:
    return cell if cell is None else moved.get((cell["part"], cell["row"]), cell)


def _moved(parts: Parts, found: Places) -> dict[tuple[str, int], dict[str, Any]]:
    """Where images lie now that shared a part with others that nobody wants."""
    wanted: dict[str, set[int]] = {}
    for cells in found.values():
        for cell in cells:
            if cell is not None:
                wanted.setdefault(cell["part"], set()).add(cell["row"])
    moved: dict[tuple[str, int], dict[str, Any]] = {}
    for name, rows in wanted.items():
        try:
            with closing(open_part(parts.path(name), PART_SCHEMA.names)) as part:
                if len(rows) == part.file.bounds[-1]:
                    continue
                order = sorted(rows)
                put = parts.put([part.group_of(row).cells(row) for row in order])
        except DamagedTable:  # the place stays, and the next run that asks for it finds that nothing is there
            continue
        moved |= {(name, row): {"part": put, "row": number} for number, row in enumerate(order)}
    return moved


def sweep(ledger: Ledger, asset: str, shard: str, grace: float = 0.0, dry: bool = False) -> Room:
    """Delete the parts that neither the table nor a batch names, when they are older than `grace` seconds.

    Readers may still have a table open that was replaced just now. Raises DamagedTable where it cannot be told what a
    table or a batch names.
    """
    parts = ledger.parts(asset, shard)
    named = named_parts(ledger, asset, shard)
    room = Room()
    for entry in _unnamed(parts, named):
        if time.time() - entry.modified >= grace:
            room.files += 1
            room.bytes += entry.size
            if not dry:
                store_of(parts.folder).delete(entry.address)
    return room


def named_parts(ledger: Ledger, asset: str, shard: str) -> set[str]:
    """What the table names, what was set aside of one that is to be made again, and the batches."""
    path = ledger.table_path(asset, shard)
    files = [path] if ledger.exists(asset, shard) else []
    if (aside := ledger.latest_aside(asset, shard)) is not None:
        files.append(aside)
    staging = ledger.staging(asset, shard)
    files += [entry.address for entry in store_of(staging).find(staging, f"*{places.PARQUET}")]
    return {name for file in files for name in tables.parts_named(file)}


def _unnamed(parts: Parts, named: set[str]) -> list[Entry]:
    """What was set aside of a part has its name."""
    found = store_of(parts.folder).below(parts.folder)
    return [entry for entry in found if entry.address.name.split(ASIDE)[0].split(places.PARQUET)[0] not in named]


def migrate(ledger: Ledger, asset: str, shard: str) -> bool:
    """Put the images of a table of before into parts; returns whether there were any in it.

    Stopped at any moment, the table is that of before or the new one. Raises as `Ledger.commit`, and DamagedTable.
    """
    if not ledger.exists(asset, shard) or not tables.has_images(ledger.table_path(asset, shard)):
        return False
    ledger.rewrite(asset, shard)
    return True
