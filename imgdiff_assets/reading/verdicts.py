"""Why a row was kept or dropped, in words."""

from collections.abc import Mapping
from typing import Any

from imgdiff_assets.stages.stage import ERROR_PREFIX, UPSTREAM, Stage


def in_words(stage: Stage, row: Mapping[str, Any]) -> str:
    """The verdict on a row of a stage's table, from its `kept`, `rejected_by` and `error`."""
    name = row["rejected_by"]
    if row["kept"] or name is None:
        return "kept"
    if name == UPSTREAM:
        return "set aside: the row it came from is rejected now"
    if name.startswith(ERROR_PREFIX):
        kind = name.removeprefix(ERROR_PREFIX)
        return f"failed ({kind}): {row['error'] or 'no message'}; the next run tries again"
    step = stage.filter_named(name)
    return f"rejected by {name}: {step.reason}" if step is not None else f"rejected by {name}"
