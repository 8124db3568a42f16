"""Keeping the catalog in step with the ledger: after each materialisation, or all at once from nothing."""

from collections.abc import Sequence
from typing import Any

from imgdiff_assets.graph import STAGES
from imgdiff_assets.home import Home
from imgdiff_assets.ledger import Ledger, is_image
from imgdiff_assets.stage import Stage
from resources.catalog import Catalog


def index(home: Home, records: Sequence[dict[str, Any]]) -> None:
    """Add materialisation records, and the view of each of their tables."""
    catalog = Catalog(home.catalog)
    catalog.add(records)
    touched = {record["asset"] for record in records}
    for stage in STAGES:
        if stage.name in touched:
            _create_view(catalog, home, stage)


def rebuild(home: Home) -> int:
    """Make the catalog anew from the ledger's histories and footers; returns how many materialisations it knows."""
    ledger = Ledger(home.ledger)
    records: dict[tuple[str, str, str], dict[str, Any]] = {}
    for stage in STAGES:
        for shard in ledger.shards(stage.name):
            # The footer too: a kill between the table's rename and the history's line loses only the line.
            latest = ledger.record(stage.name, shard)
            for record in [*ledger.history(stage.name, shard), *([latest] if latest else [])]:
                records[record["asset"], record["shard"], record["finished_at"]] = record
    catalog = Catalog(home.catalog)
    catalog.replace(list(records.values()))
    for stage in STAGES:
        if ledger.shards(stage.name):
            _create_view(catalog, home, stage)
    return len(records)


def _create_view(catalog: Catalog, home: Home, stage: Stage) -> None:
    columns = [column.name for column in stage.schema if not is_image(column)]
    catalog.create_view(stage.name, str(home.ledger / stage.name / "shard=*" / "rows.parquet"), columns)
