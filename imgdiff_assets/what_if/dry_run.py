"""What a run would do, and why: told from what the tables say of themselves. Nothing is loaded, measured, written."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from imgdiff_assets.common.plain_text import counted
from imgdiff_assets.engine.plan import RETRY, TablePlan
from imgdiff_assets.engine.staleness import Staleness
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.reading.scan import scan
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import chosen_stages, stage_named


@dataclass(slots=True)
class PlannedStage:
    """What a run would do to the tables of one stage.

    `reasons` counts the stale shards that have each; `again` counts, by measurement, the rows whose stored result
    would be made anew. What comes new, and what depends on results that come out differently, cannot be counted.
    """

    stage: str
    shards: int
    stale: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    again: dict[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def plan(
    home: Home, recipe: Recipe, shards: Sequence[str], select: Sequence[str] | None = None, retry: bool = False
) -> list[PlannedStage]:
    """What `run` would do with the same arguments.

    Raises FileNotFoundError when the weights of a model are missing, UnknownAsset.
    """
    staleness = Staleness(home, recipe, chosen_stages(select, recipe))
    with staleness.looking():
        tables = [table for key in shards for table in staleness.plans(key)]
    by_stage: dict[str, list[TablePlan]] = {}
    for table in tables:
        by_stage.setdefault(table.how.stage.name, []).append(table)
    return [_stage_plan(Ledger(home.ledger), name, plans, retry) for name, plans in by_stage.items()]


def _stage_plan(ledger: Ledger, name: str, tables: Sequence[TablePlan], retry: bool) -> PlannedStage:
    stale = [table for table in tables if not table.fresh or (retry and table.retries)]
    reasons = Counter(reason for table in stale for reason in table.reasons or (RETRY,))
    outdated: dict[str, list[str]] = {}
    for table in stale:
        for step in table.how.outdated(table.record) if table.record is not None else ():
            outdated.setdefault(step, []).append(table.shard)
    again: dict[str, int] = {}
    for measurement in stage_named(name).measurements:
        if keys := outdated.get(measurement.name):
            results = scan(ledger, name, [measurement.fingerprint_column], shards=keys)
            count = len(results) - results[measurement.fingerprint_column].null_count
            again |= {measurement.name: count} if count else {}
    return PlannedStage(name, len(tables), len(stale), dict(reasons.most_common()), again)


def plan_text(plans: Sequence[PlannedStage]) -> str:
    """A paragraph per stage."""
    lines = []
    for made in plans:
        what = f"{made.stale} of {counted(made.shards, 'shard')} to be made" if made.stale else "up to date"
        lines.append(f"{made.stage:<18}{what}")
        lines += [f"{'':18}{count:>4} × {reason}" for reason, count in made.reasons.items()]
        lines += [f"{'':18}{counted(rows, 'row')} measured again: {step}" for step, rows in made.again.items()]
    if any(made.stale for made in plans):
        lines += ["", "Nothing was run. Rows that are new, or let in by a threshold, are measured as well."]
    return "\n".join(lines)
