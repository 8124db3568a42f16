"""Which pairs are derived from pairs that are there: of which two pictures each is, and what is done to them."""

from collections.abc import Iterator, Mapping
from itertools import combinations, groupby
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from imgdiff_assets.common.aliases import Row
from imgdiff_assets.common.hashing import content_id, seed_of
from imgdiff_assets.common.tables import look_up, rows_of
from imgdiff_assets.ledger.images import HASH_COLUMNS
from imgdiff_assets.method.conversations import pick
from imgdiff_assets.method.tasks import SIDES

TABLE = "derived_pairs"
INVERSE, SIBLINGS, REGISTERED = "inverse", "siblings", "registered"
ROUND_TRIP = "round_trip"
NEITHER_NUISANCE = (INVERSE, SIBLINGS, REGISTERED)
"""Derivations of pairs that differ; any other is a way in which pixels differ and nothing else does."""

FROM, WITH = "derived_from", "derived_with"
"""The pair that a derived one is made of, null of one that was drawn or given; and another, where it is of two."""

PROMPTS = ("caption_id", "source_caption", "target_caption", "change_kind", "asked_kind")
OBJECTS = ("source_object", "target_object")
COLUMNS = (
    *("pair_id", "derivation", FROM, "from_side", "from_hash", WITH, "with_side", "with_hash"),
    *PROMPTS,
    *OBJECTS,
)
"""`source` is the picture `from_side` of the pair `derived_from`, `target` that of `derived_with`, or of the same."""


def items(tables: Mapping[str, pa.Table], settings: Mapping[str, Any]) -> pa.Table:
    """The pairs that the recipe derives from image pairs, in the order of these."""
    pairs = tables["image_pairs"].filter(pc.field("source_hash").is_valid())
    prompts = look_up(tables["prompt_pairs"], "pair_id", pairs["pair_id"])
    names = ["pair_id", "kept", *HASH_COLUMNS]
    known = [
        {**prompt, **pair}
        for prompt, pair in zip(rows_of(prompts, [*PROMPTS, *OBJECTS]), rows_of(pairs, names), strict=True)
    ]
    rows = list(_derived(known, settings))
    return pa.Table.from_pylist(rows, pa.schema([*ITEM_COLUMNS, pa.field("kept", pa.bool_())]))


def _derived(known: list[Row], settings: Mapping[str, Any]) -> Iterator[Row]:
    for pair in known:
        if settings[INVERSE] and _names_both_or_none(pair):
            yield _row(INVERSE, pair, "target", pair, "source")
        if settings[REGISTERED]:
            yield _row(REGISTERED, pair, "source", pair, "target")
        if settings["nuisance"] and _drawn_by_lot(pair["pair_id"], settings):
            ways = [*settings["nuisance_ways"], *([ROUND_TRIP] if settings[ROUND_TRIP] else [])]
            way = pick(ways, "way", settings["seed"], pair["pair_id"])
            side = pick(SIDES, "side", settings["seed"], pair["pair_id"])
            yield _row(way, pair, side, pair, side)
    if settings[SIBLINGS]:
        # Two rewrites of one caption that replace one and the same thing: what replaced it differs.
        rewrites = sorted((pair for pair in known if all(pair[name] for name in OBJECTS)), key=_replaced)
        for _, group in groupby(rewrites, key=_replaced):
            for one, another in combinations(sorted(group, key=lambda pair: pair["pair_id"]), 2):
                if one["target_object"] != another["target_object"]:
                    yield _row(SIBLINGS, one, "target", another, "target")


def _names_both_or_none(pair: Row) -> bool:
    """What was only added would be taken away the other way round, which is another kind of difference."""
    named = [bool(pair[name]) for name in OBJECTS]
    return all(named) or not any(named)


def _drawn_by_lot(pair_id: str, settings: Mapping[str, Any]) -> bool:
    return bool(seed_of(settings["seed"], "nuisance", pair_id) < settings["nuisance"] * 2.0**63)


def _replaced(pair: Row) -> tuple[str, ...]:
    """Equal for rewrites that change the same of the same caption."""
    return pair["caption_id"], pair["asked_kind"] or "", pair["change_kind"] or "", pair["source_object"]


def _row(derivation: str, one: Row, from_side: str, another: Row, with_side: str) -> Row:
    beside = another["pair_id"] if another is not one else None
    return {
        "pair_id": content_id("derived_pair", derivation, one["pair_id"], beside),
        "derivation": derivation,
        FROM: one["pair_id"],
        "from_side": from_side,
        "from_hash": one[f"{from_side}_hash"],
        WITH: beside,
        "with_side": with_side,
        "with_hash": another[f"{with_side}_hash"],
        "caption_id": one["caption_id"],
        "change_kind": one["change_kind"],
        "asked_kind": one["asked_kind"],
        **{
            f"{side}_{what}": pair[f"{its_side}_{what}"]
            for side, pair, its_side in (("source", one, from_side), ("target", another, with_side))
            for what in ("caption", "object")
        },
        "kept": one["kept"] and another["kept"],
    }


ITEM_COLUMNS = tuple(pa.field(name, pa.string()) for name in COLUMNS)


def with_derived(tables: Mapping[str, pa.Table]) -> dict[str, pa.Table]:
    """Tables in which derived pairs that may differ stand among prompt and image pairs; as they are where none are."""
    if TABLE not in tables:
        return dict(tables)
    derived = tables[TABLE].filter(pc.field("derivation").isin(pa.array(NEITHER_NUISANCE)))
    joined = {name: _joined(tables[name], derived) for name in ("prompt_pairs", "image_pairs") if name in tables}
    return {**tables, **joined}


def _joined(table: pa.Table, derived: pa.Table) -> pa.Table:
    names = [name for name in (*table.column_names, FROM) if name in derived.column_names]
    return pa.concat_tables([table, derived.select(names)], promote_options="default")


def nuisance_pairs(tables: Mapping[str, pa.Table]) -> list[Row]:
    """Of pairs in which nothing differs but pixels: ids, hashes, sizes, and in which way they differ."""
    if TABLE not in tables:
        return []
    differ = pc.field("derivation").isin(pa.array(NEITHER_NUISANCE))
    rows = tables[TABLE].filter(~differ & pc.field("source_hash").is_valid())
    names = ("pair_id", FROM, "derivation", *HASH_COLUMNS, "width", "height", "caption_id", "kept")
    return rows_of(rows, names)
