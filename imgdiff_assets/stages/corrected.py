"""What people corrected of regions, laid over what was found of them."""

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from imgdiff_assets.common.aliases import Row
from imgdiff_assets.ledger.corrections import DIFFERENCE, REGION_TEXTS
from imgdiff_assets.method.language import Language
from imgdiff_assets.method.noun_phrases import noun_phrase, statement
from imgdiff_assets.method.regions import BOX_COLUMNS
from imgdiff_assets.method.tasks import SIDES


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
