"""Every column of every table of the ledger and of the catalog, and what rejects rows."""

import math
from collections.abc import Iterator

import pyarrow as pa

from docs.site.text import plain, table
from imgdiff_assets.stages.graph import STAGES
from imgdiff_assets.stages.stage import Stage
from imgdiff_assets.stages.steps import Derivation, Measurement, range_of
from resources.catalog import TABLES

OF_EVERY_TABLE = {
    "kept": "whether it passed all filters",
    "rejected_by": "the filter that rejected it, or why it was set aside; null if it was kept",
    "error": "what went wrong with a row that could not be measured",
    "run_id": "the run that measured it",
    "measured_at": "when that was",
}


def tables_page() -> Iterator[str]:
    """The lines of the page."""
    yield "# Columns of the tables"
    yield ""
    yield "There is a table for each stage, in `ledger/<stage>/shard=<key>/rows.parquet` of the home. A column of"
    yield "images says which row it is of which file in `parts/<stage>/shard=<key>/`; views with images have them."
    for stage in STAGES:
        yield from ("", f"## {stage.name}", "", plain(stage.description), "")
        rows = [(f"`{column.name}`", str(column.type), _what_is_in(stage, column)) for column in stage.schema]
        yield from table(("column", "type", "what is in it"), rows)
        if stage.filters:
            yield from ("", "Rows are rejected, in this order, by", "")
            yield from table(("filter", "score", "setting", "because"), _filters(stage))
    for name, schema in TABLES.items():
        yield from ("", f"## {name}", "", "A table of `catalog.duckdb`.", "")
        yield from table(("column", "type"), [(f"`{column.name}`", str(column.type)) for column in schema])


def _what_is_in(stage: Stage, column: pa.Field) -> str:
    """Where a column comes from, and between which values it lies."""
    for step in stage.steps:
        if isinstance(step, Measurement) and column.name in {each.name for each in step.columns}:
            by = f" by {' and '.join(f'`{role}`' for role in step.roles)}" if step.roles else ""
            return f"measured{by} ({step.name}){_range(column)}"
        if isinstance(step, Derivation) and column.name == step.column.name:
            return f"computed from {', '.join(f'`{name}`' for name in step.reads)}{_range(column)}"
        if isinstance(step, Measurement) and column.name == step.fingerprint_column:
            return f"the hash of all that {step.name} depends on"
    if column.name == stage.id_column:
        return "the row's id"
    return OF_EVERY_TABLE.get(column.name, "taken from the tables above")


def _range(column: pa.Field) -> str:
    low, high = range_of(column) or (math.nan, math.nan)
    if math.isnan(low):
        return ""
    return f"; at least {low:g}" if high == math.inf else f"; {low:g} to {high:g}"


def _filters(stage: Stage) -> Iterator[tuple[str, ...]]:
    for step in stage.filters:
        score, setting = (f"`{name}`" if name else "" for name in (step.score, step.setting))
        yield f"`{step.name}`", score, setting, step.reason
