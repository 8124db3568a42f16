"""The kept samples of a shard, with the images they are about."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow.compute as pc

from imgdiff_assets.images import HASH_COLUMNS
from imgdiff_assets.ledger import Ledger
from imgdiff_assets.scan import scan

BOX_COLUMNS = ("x1", "y1", "x2", "y2")
SAMPLE_COLUMNS = ("sample_id", "region_id", "pair_id", "difference_caption", "conversations", "split")


class StaleSample(ValueError):
    """A sample whose images have been made anew since."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One kept row of `fine_tune_set`; the box is xyxy in pixels of both images."""

    sample_id: str
    region_id: str
    pair_id: str
    difference_caption: str
    conversations: Sequence[dict[str, str]]
    split: str
    box: tuple[float, float, float, float]


def read_samples(ledger: Ledger, shard: str) -> list[Sample]:
    """The kept samples of one shard, in the order of the table.

    Raises StaleSample when a sample's box was found in other images than the ledger holds now, and DamagedTable.
    """
    rows = _kept(ledger, "fine_tune_set", (*SAMPLE_COLUMNS, *BOX_COLUMNS), shard)
    seen = {row["region_id"]: row for row in _kept(ledger, "captions", ("region_id", *HASH_COLUMNS), shard)}
    drawn = {row["pair_id"]: row for row in _kept(ledger, "image_pairs", ("pair_id", *HASH_COLUMNS), shard)}
    samples = []
    for row in rows:
        region, pair = seen.get(row["region_id"]), drawn.get(row["pair_id"])
        if region is None or pair is None or any(region[name] != pair[name] for name in HASH_COLUMNS):
            raise StaleSample(
                f"{shard}: sample {row['sample_id']} is older than its images or captions; "
                f"`imgdiff run --shards {shard}` brings the tables in step."
            )
        values = {name: row[name] for name in SAMPLE_COLUMNS}
        samples.append(Sample(**values, box=(row["x1"], row["y1"], row["x2"], row["y2"])))
    return samples


def _kept(ledger: Ledger, asset: str, columns: Sequence[str], shard: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = scan(ledger, asset, columns, pc.field("kept"), [shard]).to_pylist()
    return rows
