"""The samples that people may speak of, and what was found of the regions that they may correct."""

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow.compute as pc

from imgdiff_assets.common.tables import columns_of_table
from imgdiff_assets.ledger.corrections import BOX, CORNERS, TEXTS, Value
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.reading.scan import scan
from imgdiff_assets.reading.shown import shown
from imgdiff_assets.stages.graph import SAMPLES

COLUMNS = (
    "sample_id",
    "pair_id",
    "region_id",
    "erased_from",
    "task",
    "first",
    "answer",
    "conversations",
    *CORNERS,
)


@dataclass(frozen=True, slots=True)
class Reviewable:
    """A sample that the graph made, whatever reviewers say of it; texts without image tokens.

    `region_id` is that of the region that may be corrected, None where there is none.
    """

    sample_id: str
    shard: str
    pair_id: str
    region_id: str | None
    task: str
    first: str
    question: str
    answer: str


def reviewable(ledger: Ledger) -> dict[str, Reviewable]:
    """All samples that are kept, or rejected by reviewers alone, by id. Raises DamagedTable."""
    made = pc.field("kept") | (pc.field("rejected_by") == "review")
    found = {}
    for row in scan(ledger, SAMPLES, COLUMNS, made).to_pylist():
        told = shown(row)
        found[row["sample_id"]] = Reviewable(
            sample_id=row["sample_id"],
            shard=row["shard"],
            pair_id=row["pair_id"],
            region_id=None if row["erased_from"] else row["region_id"],
            task=row["task"],
            first=row["first"],
            question=told.question,
            answer=told.answer,
        )
    return found


@dataclass(frozen=True, slots=True)
class Region:
    """What was found of one region: its texts and its box (xyxy in pixels), and the size of its images in pixels."""

    region_id: str
    shard: str
    found: Mapping[str, Value]
    width: int
    height: int


def regions_of(ledger: Ledger, shard: str) -> dict[str, Region]:
    """The regions of a shard that may be corrected, by id. Raises DamagedTable."""
    texts = scan(ledger, "captions", ("region_id", *TEXTS), pc.field(TEXTS[0]).is_valid(), [shard])
    said = {row["region_id"]: row for row in texts.to_pylist()}
    sizes = columns_of_table(
        scan(ledger, "image_pairs", ("pair_id", "width", "height"), None, [shard]), ["pair_id", "width", "height"]
    )
    size_of = dict(zip(sizes["pair_id"], zip(sizes["width"], sizes["height"], strict=True), strict=True))
    boxes = scan(ledger, "bounding_boxes", ("region_id", "pair_id", *CORNERS), pc.field("x1").is_valid(), [shard])
    found = {}
    for row in boxes.to_pylist():
        width, height = size_of.get(row["pair_id"], (None, None))
        if row["region_id"] in said and width is not None:
            values: dict[str, Value] = {name: said[row["region_id"]][name] for name in TEXTS}
            values[BOX] = tuple(row[name] for name in CORNERS)
            found[row["region_id"]] = Region(row["region_id"], shard, values, int(width), int(height))
    return found
