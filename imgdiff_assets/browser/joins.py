"""The rows of a stage with what is known of the rows they come from: the pieces of SQL that join them."""

import pyarrow as pa

from imgdiff_assets.method.kind import KIND_COLUMNS, OBJECT_REPLACED, kind_named, kind_names
from imgdiff_assets.method.regions import BOX_COLUMNS
from imgdiff_assets.stages.graph import STAGE_NAMES, STAGES
from imgdiff_assets.stages.stage import Stage

NOWHERE = "NULL"
"""Where a column is taken from that no table has."""

WORDS = (
    "source_caption",
    "target_caption",
    "source_object",
    "target_object",
    "source_region_caption",
    "target_region_caption",
    "difference_caption",
)
"""What people search in; of samples their question and answer too."""

TEXT_COLUMNS = (
    *WORDS,
    "source_hash",
    "target_hash",
    "erased_hash",
    "width",
    "height",
)


def scores_of(stage: Stage) -> dict[str, str]:
    """The scores of a stage's rows and of those they come from, as `stage.column`, to SQL; the stage's own first."""
    return {
        f"{table.name}.{field.name}": score_of(table, field.name, f"{_alias(stage, table)}.")
        for table in [stage, *(table for table in reversed(ancestors(stage)) if not table.optional)]
        for field in table.schema
        if (pa.types.is_floating(field.type) and field.name not in BOX_COLUMNS)
        or field.name in {step.score for step in table.filters}
    }


def score_of(table: Stage, name: str, alias: str = "") -> str:
    """A score of a table's rows, null where its value stands for none."""
    absent = table.absent.get(name)
    return f"{alias}{name}" if absent is None else f"nullif({alias}{name}, {absent})"


def ancestors(stage: Stage) -> list[Stage]:
    """The stages before whose rows a row of this one names."""
    earlier = STAGES[: STAGE_NAMES.index(stage.name)]
    return [table for table in earlier if table.id_column in stage.schema.names]


def _alias(stage: Stage, table: Stage) -> str:
    return "t" if table is stage else table.name


def source_of(stage: Stage, asked: str, shards: str = "") -> str:
    """FROM: the stage's rows (`t`), each with what is `asked` of the rows it comes from, and of the reviews.

    `shards` is SQL of the list of those that the rows are of, if few are: then others are not looked through.
    """
    few = f" WHERE shard IN (SELECT unnest({shards}))" if shards else ""
    joins = [
        f"LEFT JOIN (FROM {table.name}{few}) AS {table.name} ON t.shard = {table.name}.shard "
        f"AND t.{table.id_column} = {table.name}.{table.id_column}"
        for table in ancestors(stage)
        if f"{table.name}." in asked
    ]
    if "reviewed." in asked:
        joins.append("LEFT JOIN reviewed ON t.sample_id = reviewed.sample_id")
    return f"{stage.name} AS t {' '.join(joins)}"


def first_with(stage: Stage, name: str) -> str:
    """Where a column is taken from: the stage itself, or the nearest stage before that has it; else null."""
    having = [table for table in [stage, *reversed(ancestors(stage))] if name in table.schema.names]
    # Of some rows an optional stage has it, of the others one before.
    last = next((number for number, table in enumerate(having, 1) if not table.optional), len(having))
    places = [f"{_alias(stage, table)}.{name}" for table in having[:last]]
    return f"coalesce({', '.join(places)})" if len(places) > 1 else (*places, NOWHERE)[0]


def kind_in(stage: Stage) -> str:
    """SQL of the kind of difference of a stage's rows, as `kind_of` tells it; null where nobody says what differs."""
    asked, found, named = (first_with(stage, name) for name in KIND_COLUMNS)
    known = " ".join(f"WHEN {found} = '{kind_named(name).called}' THEN '{name}'" for name in kind_names())
    named = f"WHEN {named} IS NOT NULL THEN '{OBJECT_REPLACED}'"
    return f"CASE WHEN {asked} IS NOT NULL THEN {asked} {known} {named} END"


def words_of(stage: Stage) -> str:
    """All that a row says, in small letters."""
    texts = [first_with(stage, name) for name in WORDS]
    if stage.id_column == "sample_id":
        texts += ["t.answer", "t.conversations[1].value"]
    return f"lower(concat_ws(' ', {', '.join(texts)}))"


def columns_of(stage: Stage, scored: bool = True) -> str:
    """SELECT: id, verdict, box, texts, every score by its name if `scored`; of a sample also what is shown of it."""
    review = "reviewed.review" if stage.id_column == "sample_id" else "NULL"
    names = [f"t.{stage.id_column} AS id", "t.shard", "t.kept", "t.rejected_by", "t.error", f"{review} AS review"]
    names += [f"{first_with(stage, name)} AS {name}" for name in ("pair_id", "region_id", "split", *TEXT_COLUMNS)]
    # Of a sample, the image that it was erased from is named otherwise.
    found_in = "t.erased_from" if "erased_from" in stage.schema.names else first_with(stage, "found_in")
    names.append(f"{found_in} AS found_in")
    if stage.id_column == "sample_id":
        names += [f"t.{name}" for name in ("task", "first", "erased_from", "conversations", "answer")]
    boxes = [name if name in stage.schema.names else None for name in BOX_COLUMNS]
    names += [f"t.{name}" if name else "NULL" for name in boxes] if all(boxes) else []
    names += [f'{column}::DOUBLE AS "{name}"' for name, column in scores_of(stage).items() if scored]
    return ", ".join(names)
