"""What must hold of every table of the ledger, whatever made it; and the rows of which it does not.

Cheap: a few columns are read; images are decoded for a sample of the pairs alone.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import TypeAdapter

from imgdiff_assets.common.aliases import Row
from imgdiff_assets.common.hashing import content_hash
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.images import PairImages, decode, pixel_hash
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.memory import Answer, Memory, worked_out_once
from imgdiff_assets.method.regions import BOX_COLUMNS
from imgdiff_assets.reading.pairs import scan_pairs
from imgdiff_assets.reading.scan import ask, origins, scan
from imgdiff_assets.recipe.editions import RELEASE
from imgdiff_assets.stages.graph import stage_named
from imgdiff_assets.stages.stage import OUTSIDE, UPSTREAM, Stage
from imgdiff_assets.stages.steps import range_of

SAMPLED_PAIRS = 16
"""Pairs of a shard whose images are decoded: spread evenly over the ids, which are hashes."""

TOLERANCE = 1e-3
HashesAndNames = tuple[tuple[str | None, ...], ...]
ANSWER: TypeAdapter[Answer[HashesAndNames]] = TypeAdapter(Answer[HashesAndNames])
Violations = Callable[[Stage, Ledger, Sequence[str]], Iterator[Row]]
"""The offending rows of some shards: `shard`, the stage's id, and what is wrong."""


@dataclass(frozen=True, slots=True)
class Invariant:
    """Something that holds of every table of the stages it is for."""

    name: str
    description: str
    violations: Violations
    concerns: Callable[[Stage], bool] = lambda stage: True
    blocking: bool = False


def repeated_ids(stage: Stage, ledger: Ledger, shards: Sequence[str]) -> Iterator[Row]:
    """Ids that another row has too, in any shard of the ledger."""
    name = stage.id_column
    sql = f"SELECT {name} FROM rows GROUP BY {name} HAVING count(*) > 1"
    found = _of_all_shards("repeated_ids", stage, ledger, [name], sql)
    repeated = pc.field(name).isin(pa.array([identity for (identity,) in found], pa.string()))
    for row in scan(ledger, stage.name, [name], repeated).to_pylist() if found else ():
        yield {**row, "problem": "another row has the same id"}


def orphans(stage: Stage, ledger: Ledger, shards: Sequence[str]) -> Iterator[Row]:
    """Rows in the running whose parent is not in the table above."""
    in_the_running = pc.field("kept") | (pc.field("rejected_by") != UPSTREAM)
    rows = scan(ledger, stage.name, _unique(stage.id_column, *stage.columns_above), in_the_running, shards)
    numbers = origins(stage, rows)
    for number, origin in enumerate(stage.above):
        if origin.table in OUTSIDE:
            continue
        own, name = rows.filter(pa.array(numbers == number)), origin.id_column
        there = stage_named(origin.table).id_column
        known = scan(ledger, origin.table, [there], shards=shards)[there]
        for row in own.filter(pc.invert(pc.is_in(own[name], known))).to_pylist():
            yield {
                stage.id_column: row[stage.id_column],
                name: row[name],
                "shard": row["shard"],
                "problem": f"{origin.table} has no such {name}",
            }


def damaged_images(stage: Stage, ledger: Ledger, shards: Sequence[str]) -> Iterator[Row]:
    """Sampled pairs whose images do not decode, or decode to other pixels than the recorded ones."""
    for row, side, cell in _sampled_images(stage, ledger, shards):
        try:
            whole = pixel_hash(decode(cell["bytes"])) == row[f"{side}_hash"]
            problem = "" if whole else "has other pixels than it was recorded with"
        except (OSError, ValueError, SyntaxError, TypeError) as error:
            problem = f"does not decode: {error}"
        if problem:
            yield {"pair_id": row["pair_id"], "shard": row["shard"], "problem": f"the {side} image {problem}"}


def scores_out_of_range(stage: Stage, ledger: Ledger, shards: Sequence[str]) -> Iterator[Row]:
    """Scores that no model can give; and kept rows without a score that a filter of every recipe goes by."""
    ranges = {field.name: range_of(field) for field in stage.schema}
    rows = scan(
        ledger, stage.name, [stage.id_column, "kept", *(name for name in ranges if ranges[name])], shards=shards
    )
    for name, limits in ranges.items():
        if limits is None:
            continue
        low, high = limits
        scores = rows[name].to_numpy(zero_copy_only=False)
        outside = ~((low - TOLERANCE <= scores) & (scores <= high + TOLERANCE)) & rows[name].is_valid().to_numpy()
        if any(step.score == name and not (step.unless_missing or stage.is_optional(step)) for step in stage.filters):
            outside |= rows[name].is_null().to_numpy() & rows["kept"].to_numpy(zero_copy_only=False)
        for row in rows.filter(pa.array(outside)).select([stage.id_column, "shard", name]).to_pylist():
            yield {**row, "problem": f"{name} is {row.pop(name)}, not from {low:g} to {high:g}"}


def boxes_outside(stage: Stage, ledger: Ledger, shards: Sequence[str]) -> Iterator[Row]:
    """Boxes that are empty or reach over the edge of the image."""
    drawn = scan_pairs(ledger, "image_pairs", ["pair_id", "width", "height"], shards=shards).to_pylist()
    sizes = {row["pair_id"]: (row["width"] or math.inf, row["height"] or math.inf) for row in drawn}
    columns = _unique(stage.id_column, "pair_id", *BOX_COLUMNS)
    for row in scan(ledger, stage.name, columns, pc.field("x1").is_valid(), shards).to_pylist():
        width, height = sizes.get(row["pair_id"], (math.inf, math.inf))
        x1, y1, x2, y2 = (row.pop(name) for name in BOX_COLUMNS)
        # Corners are stored to two decimals, in single precision.
        if not (-0.01 <= x1 < x2 <= width + 0.01 and -0.01 <= y1 < y2 <= height + 0.01):
            yield {**row, "problem": f"box {x1:g}, {y1:g}, {x2:g}, {y2:g} in an image of {width:g} × {height:g}"}


def captions_in_two_splits(stage: Stage, ledger: Ledger, shards: Sequence[str]) -> Iterator[Row]:
    """Captions with kept samples in several splits, wherever in the ledger."""
    several = (
        "SELECT caption_id, min(split), max(split) FROM rows WHERE kept GROUP BY caption_id "
        "HAVING min(split) < max(split) ORDER BY caption_id"
    )
    read = ["caption_id", "split", "kept"]
    for caption, one, another in _of_all_shards("captions_in_two_splits", stage, ledger, read, several):
        yield {"caption_id": caption, "problem": f"is in {one} and in {another}"}


INVARIANTS: tuple[Invariant, ...] = (
    Invariant("ids_unique", "No two rows of the whole table have the same id.", repeated_ids),
    Invariant(
        "no_orphans",
        "Every row has its parent in the table above.",
        orphans,
        lambda stage: bool(stage.tables),
    ),
    Invariant(
        "images_decode",
        f"Images decode to the pixels whose hash was recorded ({SAMPLED_PAIRS} pairs of each shard).",
        damaged_images,
        lambda stage: "source_image" in stage.schema.names,
    ),
    Invariant(
        "scores_in_range",
        "No score is one that its model cannot give, and no kept row lacks a score that it was judged by.",
        scores_out_of_range,
        lambda stage: any(range_of(field) for field in stage.schema),
    ),
    Invariant(
        "boxes_inside_the_image",
        "Every box has an area and lies inside its image.",
        boxes_outside,
        lambda stage: "x1" in stage.schema.names,
    ),
    Invariant(
        "no_caption_in_two_splits",
        "Samples of one caption, in whatever shard, are all in one split.",
        captions_in_two_splits,
        lambda stage: "split" in stage.schema.names,
    ),
)


def _of_all_shards(name: str, stage: Stage, ledger: Ledger, columns: Sequence[str], sql: str) -> HashesAndNames:
    """What `ask` says of a table in all its shards, or said last if none is another: runs ask after every stage.

    Raises DamagedTable, where it reads.
    """
    return worked_out_once(
        Memory(Home(ledger.root.parent), f"{name}_of_{stage.name}", ANSWER),
        content_hash(RELEASE, sql, ledger.versions(stage.name)),
        lambda: tuple(ask(ledger, stage.name, columns, sql)),
        lambda: ledger.tables(stage.name).values(),
    )


def _sampled_images(stage: Stage, ledger: Ledger, shards: Sequence[str]) -> Iterator[tuple[Row, str, dict[str, Any]]]:
    """Some pairs of each shard, each twice: its row, `source` or `target`, and the cell of that image."""
    columns = ["pair_id", "source_hash", "target_hash"]
    rows = scan(ledger, stage.name, columns, pc.field("source_hash").is_valid(), shards).to_pylist()
    for shard, group in groupby(rows, key=lambda row: row["shard"]):
        pairs = sorted(group, key=lambda row: row["pair_id"])
        images = PairImages(ledger, shard)
        try:
            for row in pairs[:: max(1, len(pairs) // SAMPLED_PAIRS)][:SAMPLED_PAIRS]:
                cells = images.encoded(row["pair_id"])
                for side in ("source", "target"):
                    if cells[f"{side}_image"] is not None:  # else it was dropped
                        yield row, side, cells[f"{side}_image"]
        finally:
            images.close()


def _unique(*names: str) -> list[str]:
    return list(dict.fromkeys(names))
