"""Where a row came from, what became of it, and why: the chain of rows above and below any id of any table."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from imgdiff_assets.common.aliases import Row
from imgdiff_assets.common.errors import ImgDiffError
from imgdiff_assets.common.hashing import ID_LENGTH
from imgdiff_assets.engine.earlier import earlier_versions_of_row
from imgdiff_assets.engine.given_pairs import stage_of_shard
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.shards import (
    COLOURS_SCHEMA,
    PICTURE_HASH,
    PICTURE_SCHEMA,
    SCHEMA,
    read_captions,
    shard_keys,
)
from imgdiff_assets.ledger.cells import is_image
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.reading.corrected import corrected
from imgdiff_assets.reading.scan import scan
from imgdiff_assets.reading.verdicts import in_words
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.derived_items import FROM, WITH
from imgdiff_assets.stages.derived_items import TABLE as DERIVED
from imgdiff_assets.stages.graph import STAGES, line, stage_named, stages_of
from imgdiff_assets.stages.stage import CAPTION_FILE, COMMON_COLUMNS, Stage
from imgdiff_assets.stages.steps import range_of

CAPTION = "caption"
SHORTEST_PREFIX = 6
CAPTION_ID = "caption_id"
CORRECTED = ("captions", "fine_tune_set")
"""The stages whose rows people's corrections change."""

TABLE_OF_ID = {CAPTION_ID: CAPTION}
for _stage in STAGES:
    TABLE_OF_ID.setdefault(_stage.id_column, _stage.name)
"""The table where a row with such an id first appears, from the top of the graph down."""

PAIR_ID = "pair_id"
MADE_OF = (FROM, WITH)
"""What a derived pair is made of, whose id is not the first of its kind."""

RECORDED = ("recipe", "recipe_hash", "code_version", "models")
"""What a row's provenance takes from its table's record, whichever run measured the row."""

RECORDED_OF_RUN = ("devices", "versions")
"""What it takes only when the record is of the run that measured the row."""


class LineageError(ImgDiffError, ValueError):
    """An id that names no row, or several."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A threshold on a score: its value in the recipe now, and the value the row was judged by.

    `keeps_larger` tells on which side of it a score passes.
    """

    filter: str
    setting: str
    now: float
    judged_by: float | None
    keeps_larger: bool


@dataclass(frozen=True, slots=True)
class Score:
    """A score of a row with the limits it is held against."""

    name: str
    value: float | None
    limits: tuple[Limit, ...]


@dataclass(slots=True)
class Node:
    """One row of one table: `values` are its other columns, `made` says by which run, recipe and models.

    `corrections` are what people say instead of what was found of a region, each beside it.
    """

    table: str
    id: str
    shard: str
    kept: bool
    verdict: str
    asked_for: bool = False
    values: Row = field(default_factory=dict)
    scores: tuple[Score, ...] = ()
    made: dict[str, Any] = field(default_factory=dict)
    corrections: tuple[str, ...] = ()
    children: list["Node"] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, the children within."""
        return asdict(self)


def lineage(home: Home, recipe: Recipe, prefix: str) -> Node:
    """The tree from the caption down through the row whose id begins with `prefix`, to all that was made of it.

    Above the row only its own ancestors are listed, below it everything. Raises LineageError, DamagedTable.
    """
    return lineage_of(home, recipe, *find_row(home, Ledger(home.ledger), prefix))


def lineage_of(home: Home, recipe: Recipe, column: str, identity: str, shard: str) -> Node:
    """The same, of a row whose shard is known: one of `TABLE_OF_ID`, by its id column and id.

    Raises as `lineage`, and LineageError for a row of a stage that the recipe does not have.
    """
    ledger = Ledger(home.ledger)
    asked = table_of(ledger, column, identity, shard)
    if asked != CAPTION and stage_named(asked).settings(recipe) is None:
        raise LineageError(f"{identity} is a row of {asked}, a stage that the recipe does not name.")
    known = ancestors(ledger, column, identity, shard)
    captions = read_captions(home, shard)
    (caption,) = captions.filter(pc.field("caption_id") == known["caption_id"]).to_pylist()
    told = PICTURE_SCHEMA.names if PICTURE_HASH.name in caption else [*SCHEMA.names, *COLOURS_SCHEMA.names]
    values = {name: caption[name] for name in told if name in caption and name != CAPTION_ID}
    root = Node(CAPTION, caption["caption_id"], shard, kept=True, verdict="ingested", values=values)
    found: dict[str, dict[str, Node]] = {CAPTION_FILE: {root.id: root}}
    said = corrected(ledger, shard)
    wanted = {column: [identity] for column, identity in known.items() if column not in MADE_OF}
    for stage in (stage_of_shard(stage, home, shard).under(recipe) for stage in stages_of(recipe)):
        if stage.id_column in wanted:
            wanted[stage.id_column] = ids_in(stage, known)
        if stage.name == DERIVED and asked != DERIVED:
            wanted.pop(PAIR_ID, None)
        above = {parent for table in stage.parents for parent in found.get(table, ())}
        rows = _rows_below(ledger, stage, shard, sorted(above), wanted)
        record = ledger.record(stage.name, shard) or {}
        nodes = [_node(stage, row, shard, recipe, record) for row in rows]
        for node, row in zip(nodes, rows, strict=True):
            if stage.name in CORRECTED and not row.get("erased_from") and (of_region := said.get(row["region_id"])):
                node.corrections = tuple(map(str, of_region))
        for node, row in zip(nodes, rows, strict=True):
            table, parent = stage.row_above(row)
            if parent in found.get(table, ()):  # else a table above was moved aside, with the row it was made of
                found[table][parent].children.append(node)
        found[stage.name] = {node.id: node for node in nodes}
    _mark(root, asked, identity)
    if not _lead_to_the_marked(root):
        raise _broken(identity, shard)
    return root


def find_row(home: Home, ledger: Ledger, prefix: str) -> tuple[str, str, str]:
    """(id column, id, shard) of the one row that is meant."""
    prefix = prefix.strip().lower()
    if not re.fullmatch(rf"[0-9a-f]{{{SHORTEST_PREFIX},{ID_LENGTH}}}", prefix):
        raise LineageError(
            f"{prefix!r} is not an id: give the {SHORTEST_PREFIX} to {ID_LENGTH} hexadecimal digits an id begins with."
        )
    found: dict[str, tuple[str, str]] = {}
    for column, table in [*TABLE_OF_ID.items(), (PAIR_ID, DERIVED)]:
        home_table = STAGES[0].name if table == CAPTION else table
        for row in scan(ledger, home_table, [column], pc.starts_with(pc.field(column), prefix)).to_pylist():
            found.setdefault(row[column], (column, row["shard"]))
    if not found:
        found = _captions_not_run(home, prefix)
    if not found:
        raise LineageError(
            f"{prefix}: no caption, pair, region or sample has an id that begins so in {home.root}; "
            "ids are printed by `imgdiff demo`, and are the first column of every table of the ledger."
        )
    if len(found) > 1:
        examples = " and ".join(sorted(found)[:2])
        raise LineageError(f"{prefix}: {len(found)} ids begin so, for example {examples}; give more digits.")
    identity, (column, shard) = found.popitem()
    return column, identity, shard


def _captions_not_run(home: Home, prefix: str) -> dict[str, tuple[str, str]]:
    """Captions that are ingested, but in no table yet."""
    return {
        identity: ("caption_id", key)
        for key in shard_keys(home)
        for identity in read_captions(home, key)["caption_id"].to_pylist()
        if identity.startswith(prefix)
    }


def ancestors(ledger: Ledger, column: str, identity: str, shard: str) -> dict[str, str]:
    """The ids of the row itself and of every row above it, by column.

    A derived pair is made of a pair, which is `derived_from`, and perhaps of another, which is `derived_with`.
    """
    known = {column: identity}
    while (table := table_of(ledger, column, identity, shard)) != CAPTION:
        stage = stage_named(table)
        named = [name for name in (*TABLE_OF_ID, *MADE_OF) if name in stage.schema.names]
        names = dict.fromkeys([*stage.columns_above, *named])
        rows = scan(ledger, stage.name, list(names), pc.field(column) == identity, [shard]).to_pylist()
        if not rows:
            raise _broken(identity, shard)
        row = rows[0]
        known = {**{name: row[name] for name in named if row.get(name) is not None}, **known}
        table, identity = stage.row_above(row)
        column = CAPTION_ID if table == CAPTION_FILE else stage_named(table).id_column
        known.setdefault(column, identity)
    return known


def table_of(ledger: Ledger, column: str, identity: str, shard: str) -> str:
    """The table where a row with this id first appears."""
    if column == PAIR_ID and scan(ledger, DERIVED, [PAIR_ID], pc.field(PAIR_ID) == identity, [shard]):
        return DERIVED
    return TABLE_OF_ID[column]


def ids_in(stage: Stage, known: Mapping[str, str]) -> list[str]:
    """Of the `ancestors` of a row, those in the table of a stage: two where a pair is derived from two."""
    made_of = [known[name] for name in MADE_OF if name in known]
    if made_of and stage.name in line(DERIVED) - {DERIVED}:
        return made_of
    return [known[stage.id_column]] if stage.id_column in known else []


def _broken(identity: str, shard: str) -> LineageError:
    return LineageError(
        f"{identity}: a table of {shard} that it comes from is missing or was made anew; `imgdiff run` brings the "
        "tables in line."
    )


def _rows_below(
    ledger: Ledger, stage: Stage, shard: str, parents: Sequence[str], wanted: Mapping[str, Sequence[str]]
) -> list[Row]:
    """The stage's rows whose parents are in the tree, on the way to the row asked for or below it."""
    ids = dict.fromkeys(origin.id_column for origin in stage.above)
    where = pc.coalesce(*(pc.field(name) for name in ids)).isin(pa.array(parents, pa.string()))
    for column, identities in wanted.items():
        if column in stage.schema.names:
            where = where & pc.field(column).isin(pa.array(identities, pa.string()))
    # Also what the recipe of today has not, and the one that made the table had.
    there = ledger.column_names(stage.name, shard) if ledger.exists(stage.name, shard) else ()
    whole, told = pa.unify_schemas([stage_named(stage.name).schema, stage.schema]), {*stage.schema.names, *there}
    names = [column.name for column in whole if column.name in told and not is_image(column)]
    rows: list[Row] = scan(ledger, stage.name, names, where, [shard], whole).to_pylist()
    # Kept rows first, then as they stand in the table: for regions, the most different first.
    return sorted(rows, key=lambda row: (not row["kept"], row.get("rank") or 0))


def _node(stage: Stage, row: Row, shard: str, recipe: Recipe, record: Mapping[str, Any]) -> Node:
    scores = _scores(stage, row, recipe, record)
    hidden = {stage.id_column, "shard", *(column.name for column in COMMON_COLUMNS), *(score.name for score in scores)}
    return Node(
        table=stage.name,
        id=row[stage.id_column],
        shard=shard,
        kept=bool(row["kept"]),
        verdict=in_words(stage_named(stage.name), row),
        values={
            name: value for name, value in row.items() if name not in hidden and not name.endswith("_fingerprint")
        },
        scores=scores,
        made={
            "run_id": row["run_id"],
            "measured_at": f"{row['measured_at']:%Y-%m-%d %H:%M:%S} UTC" if row["measured_at"] else None,
            **{name: record.get(name) for name in RECORDED},
            "left": earlier_versions_of_row(stage, row, record),
            **{name: record.get(name) if record.get("run_id") == row["run_id"] else None for name in RECORDED_OF_RUN},
        },
    )


def _scores(stage: Stage, row: Row, recipe: Recipe, record: Mapping[str, Any]) -> tuple[Score, ...]:
    """Every column that a filter compares with a threshold, and the numbers beside it that were measured."""
    judged = {statistic["filter"]: statistic["threshold"] for statistic in record.get("filters", ())}
    limits: dict[str, list[Limit]] = {}
    settings = stage.settings(recipe)
    for step in stage.filters:
        score = step.score or (step.reads[0] if len(step.reads) == 1 else None)
        if step.threshold is None or score is None:
            continue
        now, larger = step.limit(settings), step.keeps_larger(settings)
        limits.setdefault(score, []).append(Limit(step.name, str(step.setting), now, judged.get(step.name), larger))
    measured = [column for step in stage.measurements for column in step.columns]
    names = [column.name for column in measured if range_of(column) is not None]
    names += [name for name in limits if name not in names]
    values = {name: None if row[name] == stage.absent.get(name) else row[name] for name in names}
    return tuple(Score(name, value, tuple(limits.get(name, ()))) for name, value in values.items())


def _mark(node: Node, table: str, identity: str) -> None:
    """Mark the row asked for. A pair's later rows share its id; the first is the one meant."""
    node.asked_for = node.table == table and node.id == identity
    for child in node.children:
        _mark(child, table, identity)


def _lead_to_the_marked(node: Node) -> bool:
    """Leave out what is neither on the way to the row asked for nor below it; says whether anything is left."""
    if node.asked_for:
        return True
    node.children = [child for child in node.children if _lead_to_the_marked(child)]
    return bool(node.children)
