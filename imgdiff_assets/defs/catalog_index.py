"""Keeping the catalog in step with the ledger: after each materialisation, or all at once from nothing."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from imgdiff_assets.common.aliases import Say
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.cells import is_image
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.places import PARTS
from imgdiff_assets.ledger.store.entry import Entry
from imgdiff_assets.ledger.store.store import store_of
from imgdiff_assets.stages.graph import STAGES, stage_named
from imgdiff_assets.stages.stage import Stage
from resources.catalog import Catalog, CatalogDamaged, CatalogUnavailable

TABLES = "shard=*/rows.parquet"
WITH_IMAGES = "_with_images"
"""What follows the name of the view of a table that has the images too, which are in files of their own."""


def index(home: Home, records: Sequence[Mapping[str, Any]]) -> None:
    """Add materialisation records."""
    Catalog(home.catalog).add(records)


def catch_up(home: Home, records: Sequence[Mapping[str, Any]], log: Say = lambda text: None) -> None:
    """Add those of the records that the catalog does not know: their run was killed before it could add them.

    Of a record that is briefly told (`imgdiff_assets.engine.looks.BRIEF`), the table has the whole.
    A damaged catalog is made anew, and one that cannot be used is told: a run goes on without it.
    """
    try:
        _add_unknown(home, records)
    except CatalogDamaged as error:
        log(f"{error} It is made anew from the ledger.")
        with suppress(CatalogUnavailable):
            rebuild(home)
    except CatalogUnavailable as error:
        log(str(error))


def _add_unknown(home: Home, records: Sequence[Mapping[str, Any]]) -> None:
    names = ("asset", "shard", "finished_at")
    known = Catalog(home.catalog).query(f"SELECT {', '.join(names)} FROM materializations").to_pylist()
    seen = {tuple(row.values()) for row in known}
    unknown = [record for record in records if tuple(record[name] for name in names) not in seen]
    ledger = Ledger(home.ledger)
    whole = [record if "rows" in record else ledger.record(record["asset"], record["shard"]) for record in unknown]
    if found := [record for record in whole if record is not None]:
        index(home, found)
        assets = dict.fromkeys(record["asset"] for record in found)
        refresh_view(home, *map(stage_named, assets))  # nor could it make the view over the table


def refresh_view(home: Home, *stages: Stage) -> None:
    """Make the view over all tables of each stage. While one of them is damaged, its stage's view stays as it is.

    It reads the footers of all shards, so it is for the end of a run, not for each shard.
    """
    if not isinstance(home.ledger, Path):  # in a bucket, into which DuckDB sees only with an extension of its own
        return
    catalog = Catalog(home.catalog)
    with suppress(CatalogUnavailable), catalog.held():
        for stage in stages:
            # Without a shard there is no column to see, and a damaged table is moved aside when its shard is run.
            with suppress(CatalogUnavailable):
                _make_views(catalog, home.ledger / stage.name, stage)


def _make_views(catalog: Catalog, folder: Path, stage: Stage) -> None:
    columns = [column.name for column in stage.schema if not is_image(column)]
    catalog.create_view(stage.name, folder, TABLES, columns)
    if images := [column.name for column in stage.schema if is_image(column)]:
        parts = folder.parent.with_name(PARTS) / stage.name
        catalog.create_image_view(f"{stage.name}{WITH_IMAGES}", folder, TABLES, columns, images, parts)


def rebuild(home: Home) -> int:
    """Make the catalog anew from the ledger's histories and footers; returns how many materialisations it knows.

    Of a bucket, that is one listing, and what this machine has not read before.
    """
    ledger = Ledger(home.ledger)
    records: dict[tuple[str, str, str], dict[str, Any]] = {}
    with store_of(home.root).looking(home.root, PARTS):
        for stage in STAGES:
            for shard, table in ledger.tables(stage.name).items():
                for record in _records(ledger, stage.name, shard, table):
                    records[record["asset"], record["shard"], record["finished_at"]] = record
    Catalog(home.catalog).replace(list(records.values()))
    refresh_view(home, *STAGES)
    return len(records)


def _records(ledger: Ledger, asset: str, shard: str, table: Entry) -> list[dict[str, Any]]:
    """All that is known of a table, which its footer is asked for only where its history may lack the last line.

    A kill between the table's rename and the line loses the line; then the table is newer, or as new as its store
    can tell.
    """
    lines = ledger.history_lines(asset, shard)
    if lines.values and not lines.unreadable and table.modified < ledger.written_at(asset, shard):
        return list(lines.values)
    latest = ledger.record(asset, shard)
    return [*lines.values, *([latest] if latest else [])]
