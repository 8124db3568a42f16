"""What each column of a stage's table is, in words that follow from the stage's own steps."""

from collections.abc import Sequence

import pyarrow as pa

from imgdiff_assets.stages.stage import Stage
from imgdiff_assets.stages.steps import Derivation, Measurement

OF_EVERY_TABLE = {
    "kept": "Whether the row passed every filter.",
    "rejected_by": "The filter that rejected the row, `error:` and a kind, or `upstream` for its parent's sake.",
    "error": "Why the row could not be measured.",
    "run_id": "The run that measured the row.",
    "measured_at": "When the row was measured, UTC.",
}


def column_description(stage: Stage, column: pa.Field) -> str:
    """A sentence or two; a score has its range, and each filter that judges by it."""
    name = column.name
    if name in OF_EVERY_TABLE:
        return OF_EVERY_TABLE[name]
    said = [_origin(stage, name)]
    if (limits := stage.range_of(name)) is not None:
        said.append(f"From {limits[0]:g} to {limits[1]:g}.")
    for step in stage.filters:
        if name in step.reads:
            setting = f" (`{stage.name}.{step.setting}`)" if step.threshold else ""
            said.append(f"Judged by `{step.name}`{setting}.")
    return " ".join(said)


def _origin(stage: Stage, name: str) -> str:
    if name == stage.id_column:
        return "The id of the row, a hash of its content."
    for origin in stage.above:
        if name == origin.id_column:
            return f"The row of `{origin.table}` that this one is made of."
    for step in stage.steps:
        if isinstance(step, Derivation) and step.column.name == name:
            return f"Derived from {_named(step.reads)}."
        if isinstance(step, Measurement) and step.fingerprint_column == name:
            return f"Hash of all that `{step.name}` depended on: equal ones are measured once."
        if isinstance(step, Measurement) and name in [column.name for column in step.columns]:
            with_what = f"with {_named(step.roles)}" if step.roles else "without a model"
            return f"Measured by `{step.name}`, {with_what}."
    return f"Taken over from {_named(stage.parents)}."


def _named(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
