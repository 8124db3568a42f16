"""What people correct of a region: its box, what it shows in each image, what the difference is.

A correction stands beside what was found, which stays in its tables; the next run applies it to the samples of the
region. The latest line on a text or box counts; one that takes it back says null.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from math import isfinite

import pyarrow as pa
from pydantic import TypeAdapter

from imgdiff_assets.common.hashing import content_hash
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.journal import LONGEST_TEXT, Journal
from imgdiff_assets.ledger.lines import Lines
from imgdiff_assets.ledger.store.entry import Entry

BOX = "box"
REGION_TEXTS = ("source_region_caption", "target_region_caption")
DIFFERENCE = "difference_caption"
TEXTS = (*REGION_TEXTS, DIFFERENCE)
CORNERS = ("x1", "y1", "x2", "y2")
"""The columns of a box, as every table names them."""

SMALLEST_SIDE = 1.0
"""Pixels of a box."""

Value = str | tuple[float, float, float, float] | None


@dataclass(frozen=True, slots=True)
class Correction:
    """What one person says of one region, `at` in UTC: a text of `TEXTS`, or `box` (xyxy in pixels).

    `before` is what was found, as the tables had it. `by_token` says whether it is known who said it.
    """

    region_id: str
    shard: str
    by: str
    values: Mapping[str, Value]
    before: Mapping[str, Value] = field(default_factory=dict)
    at: str = ""
    by_token: bool = False


def _says_something(said: Correction) -> None:
    if not said.region_id or not said.shard or not said.by:
        raise ValueError("a correction says of which region, and who makes it")
    if not said.values:
        raise ValueError("nothing is corrected")
    for name, value in said.values.items():
        if name == BOX:
            if isinstance(value, str):
                raise ValueError("a box has four corners")
            if value is not None and not is_box(value):
                raise ValueError("a box has x1 < x2 and y1 < y2, in pixels")
        elif name not in TEXTS:
            raise ValueError(f"{name!r} cannot be corrected; there are {', '.join((*TEXTS, BOX))}")
        elif value is not None and not (isinstance(value, str) and value.strip() and len(value) <= LONGEST_TEXT):
            raise ValueError(f"{name} has 1 to {LONGEST_TEXT:,} characters")


def is_box(box: tuple[float, float, float, float]) -> bool:
    """Whether it is one, of a pixel at least."""
    x1, y1, x2, y2 = box
    return all(map(isfinite, box)) and min(x1, y1) >= 0 and x2 - x1 >= SMALLEST_SIDE and y2 - y1 >= SMALLEST_SIDE


CORRECTIONS: Journal[Correction] = Journal("corrections", TypeAdapter(Correction), _says_something)

SCHEMA = pa.schema(
    [
        ("region_id", pa.string()),
        *((name, pa.string()) for name in TEXTS),
        *((name, pa.float32()) for name in CORNERS),
    ]
)


def read_corrections(home: Home) -> Lines[Correction]:
    """All that was ever corrected, in order."""
    return CORRECTIONS.read(home)


def counting(home: Home, shard: str | None = None) -> dict[str, dict[str, Correction]]:
    """By region, and by the name of what is corrected, the line that counts."""
    found: dict[str, dict[str, Correction]] = {}
    for said in read_corrections(home).values:
        if shard in (None, said.shard):
            for name, value in said.values.items():
                of_region = found.setdefault(said.region_id, {})
                if value is None:
                    of_region.pop(name, None)
                else:
                    of_region[name] = said
    return {region: lines for region, lines in sorted(found.items()) if lines}


def corrections_of_shard(home: Home, shard: str) -> pa.Table:
    """A row of `SCHEMA` for each corrected region of a shard, by id; null is what nobody corrected."""
    rows = []
    for region, lines in counting(home, shard).items():
        values = {name: said.values[name] for name, said in lines.items()}
        box = values.pop(BOX, None) or (None,) * len(CORNERS)
        rows.append({"region_id": region, **values, **dict(zip(CORNERS, box, strict=True))})
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def correction_hashes(home: Home, shard: str) -> dict[str, str]:
    """By corrected region of a shard, what changes whenever its corrections do; empty where there is none."""
    if shard not in _shards(home, CORRECTIONS.state(home)):
        return {}
    return {row["region_id"]: content_hash(row) for row in corrections_of_shard(home, shard).to_pylist()}


@lru_cache(maxsize=4)
def _shards(home: Home, state: tuple[Entry, ...]) -> frozenset[str]:
    """The shards that somebody corrected something of: asked for each of a thousand."""
    return frozenset(said.shard for said in read_corrections(home).values)
