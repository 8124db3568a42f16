"""Images that a recipe does not keep, for no sample is made of them; and those of them that are wanted again."""

import datetime
from collections.abc import Iterable, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from imgdiff_assets.common.aliases import Booleans
from imgdiff_assets.home import Home
from imgdiff_assets.ledger import tables
from imgdiff_assets.ledger.cells import PLACE, is_image
from imgdiff_assets.ledger.compaction import keep_rows
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.parts import hash_column
from imgdiff_assets.ledger.reviews import read_reviews
from imgdiff_assets.stages.graph import SAMPLES, STAGES
from imgdiff_assets.stages.stage import Stage

WITH_IMAGES = tuple(stage for stage in STAGES if any(map(is_image, stage.schema)))
"""The stages whose tables have images."""

WANTED = "wanted-again"
"""A part that there never is: images which are said to lie there are lost, and so they are made again."""


def drop_rejected(home: Home, ledger: Ledger, shard: str, before: datetime.datetime) -> int:
    """Drop images that were made earlier and that no kept or reviewed sample shows; returns how many.

    For whoever holds the shard, whose tables are as the recipe makes them. The rows stay, and the images' hashes.
    Raises FileNotFoundError, DamagedTable, and as `Ledger.commit`.
    """
    samples = ledger.read(SAMPLES, shard)
    reviewed = pa.array(list(read_reviews(home).by_sample), pa.string())
    shown = samples.filter(pc.or_(samples["kept"], pc.is_in(samples["sample_id"], value_set=reviewed)))
    dropped = 0
    for stage in WITH_IMAGES:
        if ledger.exists(stage.name, shard):
            rows = ledger.read(stage.name, shard)
            # A pair is shown whole; of what was erased, that very image.
            name = "pair_id" if stage.id_column == "pair_id" else "erased_hash"
            wanted = np.asarray(pc.is_in(rows[name], value_set=shown[name].combine_chunks()))
            old = np.asarray(pc.fill_null(pc.less(rows["measured_at"], pa.scalar(before)), False))
            dropped += _drop(ledger, stage.name, shard, ~wanted & old)
    return dropped


def _drop(ledger: Ledger, asset: str, shard: str, goes: Booleans) -> int:
    places = tables.read_places(ledger.table_path(asset, shard))
    there = {name: np.asarray(places[name].is_valid()) & goes for name in places.column_names}
    count = sum(int(np.count_nonzero(each)) for each in there.values())
    if count:
        keep_rows(ledger, asset, shard, np.ones(len(goes), dtype=bool), None, there)
    return count


def want_again(ledger: Ledger, stage: Stage, shard: str, ids: Iterable[str]) -> int:
    """Have the next run make the dropped images of these rows; returns of how many rows.

    Their table is set aside, with these images as lost. Raises as `Ledger.commit`, and DamagedTable.
    """
    rows = ledger.read(stage.name, shard)
    asked = np.asarray(pc.is_in(rows[stage.id_column], value_set=pa.array(list(ids), pa.string())))
    places = tables.read_places(ledger.table_path(stage.name, shard))
    columns, lost = _lost_places(rows, places, asked)
    if lost.any():
        ledger.keep_rows(stage.name, shard, np.ones(len(rows), dtype=bool), None, columns)
        ledger.quarantine(stage.name, shard)
    return int(np.count_nonzero(lost))


def _lost_places(rows: pa.Table, places: pa.Table, asked: Booleans) -> tuple[Mapping[str, pa.Array], Booleans]:
    columns, lost = {}, np.zeros(len(rows), dtype=bool)
    for name in places.column_names:
        known = np.asarray(rows[hash_column(name)].is_valid())
        gone = asked & known & np.asarray(places[name].is_null())
        cells = places[name].to_pylist()
        for row in np.flatnonzero(gone).tolist():
            cells[row] = {"part": WANTED, "row": 0}
        columns[name], lost = pa.array(cells, PLACE), lost | gone
    return columns, lost
