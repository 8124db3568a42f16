"""What people corrected of regions, laid over what was found of them."""

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from imgdiff_assets.common.aliases import Row
from imgdiff_assets.ledger.corrections import DIFFERENCE, REGION_TEXTS, Value
from imgdiff_assets.method.language import Language
from imgdiff_assets.method.noun_phrases import noun_phrase, statement
from imgdiff_assets.method.regions import BOX_COLUMNS
from imgdiff_assets.method.special_tokens import without_tokens
from imgdiff_assets.method.tasks import SIDES

SAME_CORNER = 0.06
"""Pixels; corners are shown to a tenth of one."""


def same(one: Value, other: Value) -> bool:
    """Whether two values of a text or box say the same: spaces and the ends of lines do not count."""
    if isinstance(one, tuple | list) and isinstance(other, tuple | list):
        return all(abs(a - b) < SAME_CORNER for a, b in zip(one, other, strict=True))
    return in_a_line(one) == in_a_line(other)


def in_a_line(value: Value) -> Value:
    """A text as it is kept: in one line; anything else as it is."""
    return " ".join(value.split()) if isinstance(value, str) else value


def check_texts(values: Mapping[str, Value]) -> None:
    """Raises ValueError for a text with something in it that no trainer may read as text."""
    for name, value in values.items():
        if isinstance(value, str) and without_tokens(value) != value:
            raise ValueError(
                f"{name}: it has signs that steer a screen, or what looks like a token of a chat template, such as "
                "<image>; leave that out"
            )


def moved(regions: pa.Table, corrections: pa.Table) -> pa.Table:
    """The regions (with `region_id` and `BOX_COLUMNS`), with the boxes that people drew."""
    drawn = corrections.filter(pc.field(BOX_COLUMNS[0]).is_valid())
    if not len(drawn):
        return regions
    place = pc.index_in(regions["region_id"], value_set=drawn["region_id"].combine_chunks())
    for name in BOX_COLUMNS:
        values = pc.coalesce(drawn[name].take(place), regions[name])
        regions = regions.set_column(regions.column_names.index(name), regions.schema.field(name), values)
    return regions


def reworded(region: Row, correction: Mapping[str, str | None], language: Language) -> Row:
    """A region with the texts that a person wrote of it, and the phrases in them.

    What models measured of another text says nothing of a person's: it is left out.
    """
    found = dict(region)
    for side, name in zip(SIDES, REGION_TEXTS, strict=True):
        if (text := correction[name]) is not None:
            phrase = noun_phrase(text, language.phrases)
            found |= {name: text, f"{side}_phrase": phrase, f"{side}_corrected": True}
            found |= {key: None for key in region if key.startswith((f"{side}_match_", f"{side}_mismatch_"))}
    if (text := correction[DIFFERENCE]) is not None:
        found |= {DIFFERENCE: text, "difference": statement(text, language.phrases)}
    return found
