"""The kept samples of a shard, with the images they are about."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow.compute as pc

from imgdiff_assets.images import HASH_COLUMNS
from imgdiff_assets.ledger import Ledger
from imgdiff_assets.scan import scan

BOX_COLUMNS = ("x1", "y1", "x2", "y2")
SAMPLE_COLUMNS = (
    "sample_id",
    "region_id",
    "pair_id",
    "caption_id",
    "task",
    "first",
    "subject",
    "answer",
    "conversations",
    "split",
    *HASH_COLUMNS,
)


class StaleSample(ValueError):
    """A sample whose images have been made anew since."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One kept row of `fine_tune_set`.

    `first` is the side (`source` or `target`) that is shown first; the box is xyxy in pixels of both images, None
    for a sample that is about no region.
    """

    sample_id: str
    region_id: str | None
    pair_id: str
    caption_id: str
    task: str
    first: str
    subject: str | None
    answer: str
    conversations: Sequence[dict[str, str]]
    split: str
    source_hash: str
    target_hash: str
    box: tuple[float, float, float, float] | None


def read_samples(ledger: Ledger, shard: str, tasks: Sequence[str] | None = None) -> list[Sample]:
    """The kept samples of one shard (of all tasks, or of some), in the order of the table.

    Raises StaleSample when a sample is about other images than the ledger holds now, and DamagedTable.
    """
    where = pc.field("kept") if tasks is None else pc.field("kept") & pc.field("task").isin(list(tasks))
    rows = scan(ledger, "fine_tune_set", (*SAMPLE_COLUMNS, *BOX_COLUMNS), where, [shard]).to_pylist()
    pairs = scan(ledger, "image_pairs", ("pair_id", *HASH_COLUMNS), pc.field("kept"), [shard]).to_pylist()
    drawn = {row["pair_id"]: row for row in pairs}
    samples = []
    for row in rows:
        pair: dict[str, Any] = drawn.get(row["pair_id"], {})
        if any(row[name] is None or row[name] != pair.get(name) for name in HASH_COLUMNS):
            raise StaleSample(
                f"{shard}: sample {row['sample_id']} is older than its images or captions; "
                f"`imgdiff run --shards {shard}` brings the tables in step."
            )
        box = None if row["x1"] is None else (row["x1"], row["y1"], row["x2"], row["y2"])
        samples.append(Sample(**{name: row[name] for name in SAMPLE_COLUMNS}, box=box))
    return samples
