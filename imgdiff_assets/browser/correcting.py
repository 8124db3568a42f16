"""Correcting what was found of a region: its texts by a form, its box by drawing another."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from imgdiff_assets.browser.forms import Form
from imgdiff_assets.browser.index import Index
from imgdiff_assets.browser.people import Visitor
from imgdiff_assets.browser.question import BadQuestion
from imgdiff_assets.browser.site import Site
from imgdiff_assets.common.errors import ImgDiffError, sentence
from imgdiff_assets.ledger.corrections import BOX, CORNERS, CORRECTIONS, TEXTS, Correction, Value, counting
from imgdiff_assets.ledger.journal import now
from imgdiff_assets.stages.corrected import check_texts, in_a_line, same


class NotKept(ImgDiffError):
    """What could not be written down, as in a home that is only read."""


@dataclass(frozen=True, slots=True)
class Correctable:
    """What a region's texts and box were found to be, what counts now, and the size of its images in pixels."""

    region_id: str
    shard: str
    found: Mapping[str, Value]
    now: Mapping[str, Value]
    width: int
    height: int

    @property
    def box(self) -> tuple[float, float, float, float]:
        """The one that counts."""
        box = self.now[BOX]
        assert isinstance(box, tuple)
        return box


def correctable(site: Site, region_id: str | None) -> Correctable | None:
    """What can be corrected of a region; None where nothing can, as of one without a box or a sentence."""
    row = _found(site.index, region_id)
    if row is None:
        return None
    box = tuple(row[name] for name in CORNERS)
    found: dict[str, Value] = {**{name: row[name] for name in TEXTS}, BOX: box}
    said = counting(site.home, row["shard"]).get(row["region_id"], {})
    present = {name: said[name].values[name] if name in said else value for name, value in found.items()}
    return Correctable(row["region_id"], row["shard"], found, present, row["width"], row["height"])


def _found(index: Index, region_id: str | None) -> dict[str, Any] | None:
    names = ", ".join([*(f"b.{name}" for name in CORNERS), *(f"c.{name}" for name in TEXTS)])
    rows = index.rows(
        f"SELECT b.region_id, b.shard, {names}, i.width, i.height FROM bounding_boxes AS b "
        "JOIN captions AS c ON b.shard = c.shard AND b.region_id = c.region_id "
        "JOIN image_pairs AS i ON b.shard = i.shard AND b.pair_id = i.pair_id "
        "WHERE b.region_id = ? AND b.x1 IS NOT NULL AND i.width IS NOT NULL AND c.source_region_caption IS NOT NULL",
        [region_id],
    )
    return rows[0] if rows else None


def take_correction(site: Site, who: Visitor, form: Form) -> str:
    """Record what the form says otherwise than what counts now; returns the page to go back to.

    A text that is empty, or as it was found, takes a correction back. Raises BadQuestion, NotYou, NotKept.
    """
    here = correctable(site, form.one("region_id"))
    if here is None:
        raise BadQuestion("there is no such region to correct")
    given: dict[str, Value] = {name: in_a_line(form.one(name)) or None for name in TEXTS if form.has(name)}
    if form.has(CORNERS[0]):
        given[BOX] = _box(form, here)
    values = {name: None if same(value, here.found[name]) else value for name, value in given.items()}
    standing = {name: None if same(here.now[name], here.found[name]) else here.now[name] for name in values}
    values = {name: value for name, value in values.items() if not same(value, standing[name])}
    back = form.back(f"/row/{here.region_id}")
    if not values:
        return back
    said = Correction(
        region_id=here.region_id,
        shard=here.shard,
        by=who.speaks_as(form.one("reviewer")),
        values=values,
        before={name: here.found[name] for name in values},
        at=now(),
        by_token=not who.on_trust,
    )
    try:
        check_texts(values)
        CORRECTIONS.add(site.home, [said])
    except ValueError as error:
        raise BadQuestion(str(error)) from None
    except OSError as error:
        raise NotKept(f"The correction was not kept, for the home cannot be written. {sentence(error)}") from error
    return back


def _box(form: Form, here: Correctable) -> tuple[float, float, float, float] | None:
    """What was drawn, within the image; None where nothing was."""
    texts = [form.one(name) for name in CORNERS]
    if not any(texts):
        return None
    try:
        x1, y1, x2, y2 = (float(text) for text in texts)
    except ValueError:
        raise BadQuestion(f"a box has four numbers, not {', '.join(texts)}") from None
    if not (0 <= x1 < x2 <= here.width and 0 <= y1 < y2 <= here.height):
        raise BadQuestion(f"the box lies within {here.width} x {here.height} pixels, its left upper corner first")
    return round(x1, 2), round(y1, 2), round(x2, 2), round(y2, 2)
