"""Which version of its code measured a row, in a table that has rows of several."""

from collections.abc import Mapping
from typing import Any

from imgdiff_assets.common.aliases import Row
from imgdiff_assets.common.hashing import content_hash
from imgdiff_assets.engine.plan import identity_then
from imgdiff_assets.stages.stage import Stage


def earlier_versions_of_row(stage: Stage, row: Row, record: Mapping[str, Any]) -> dict[str, int]:
    """By measurement, the version of earlier code that measured the row; nothing of those that its table's run made.

    `row` has all columns of the table but images.
    """
    found = {}
    for step in stage.measurements:
        for version in record.get("left", {}).get(step.name, ()):
            # Before the first measurement the rows of some stages have no id.
            nameless = step is stage.measurements[0] and stage.row_id is not None
            identity = None if nameless else row[stage.id_column]
            way = row[step.ways.column] if step.ways is not None and step.by_way else None
            then = identity_then(stage, step, version, record, way)
            if row[step.fingerprint_column] == content_hash(then, identity, step.hashed(row)):
                found[step.name] = version
    return found
