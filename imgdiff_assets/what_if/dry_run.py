"""What a run would do, and why: told from what the tables say of themselves. Nothing is loaded, measured, written."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from imgdiff_assets.common.plain_text import counted, duration_text
from imgdiff_assets.engine.plan import RETRY, TablePlan
from imgdiff_assets.engine.staleness import Staleness
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import chosen_stages, stage_named
from imgdiff_assets.what_if.upgrade import counted_again


@dataclass(slots=True)
class PlannedStage:
    """What a run would do to the tables of one stage.

    `reasons` counts the stale shards that have each; `again` counts, by measurement, the rows whose stored result
    would be made anew, and `seconds` how long that would take, as far as runs tell. What comes new, and what depends
    on results that come out differently, cannot be counted.
    """

    stage: str
    shards: int
    stale: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    again: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def plan(
    home: Home,
    recipe: Recipe,
    shards: Sequence[str],
    select: Sequence[str] | None = None,
    retry: bool = False,
    keep: bool = False,
    again: bool = False,
) -> list[PlannedStage]:
    """What `run` would do with the same arguments; `keep`: with rows of an earlier release left as they are.

    Raises FileNotFoundError when the weights of a model are missing, UnknownAsset.
    """
    staleness = Staleness(home, recipe, chosen_stages(select, recipe), again)
    with staleness.looking():
        tables = [table for key in shards for table in staleness.plans(key)]
    by_stage: dict[str, list[TablePlan]] = {}
    for table in tables:
        by_stage.setdefault(table.how.stage.name, []).append(table)
    return [_stage_plan(Ledger(home.ledger), name, plans, retry, keep) for name, plans in by_stage.items()]


def _stage_plan(ledger: Ledger, name: str, tables: Sequence[TablePlan], retry: bool, keep: bool) -> PlannedStage:
    stale = [table for table in tables if not table.fresh or (retry and table.retries)]
    reasons = Counter(reason for table in stale for reason in table.reasons or (RETRY,))
    outdated: dict[str, list[str]] = {}
    for table in stale:
        steps = table.how.outdated(table.record) if table.record is not None else frozenset()
        for step in steps - (table.renewed if keep else frozenset()):
            outdated.setdefault(step, []).append(table.shard)
    stage = stage_named(name)
    again = [
        each
        for step in stage.measurements
        if step.name in outdated
        for each in counted_again(ledger, stage, step.name, outdated[step.name])
    ]
    return PlannedStage(
        name,
        len(tables),
        len(stale),
        dict(reasons.most_common()),
        {each.step: each.rows for each in again},
        {each.step: round(each.seconds, 1) for each in again if each.seconds is not None},
    )


def plan_text(plans: Sequence[PlannedStage]) -> str:
    """A paragraph per stage."""
    lines = []
    for made in plans:
        what = f"{made.stale} of {counted(made.shards, 'shard')} to be made" if made.stale else "up to date"
        lines.append(f"{made.stage:<18}{what}")
        lines += [f"{'':18}{count:>4} × {reason}" for reason, count in made.reasons.items()]
        for step, rows in made.again.items():
            took = f", about {duration_text(made.seconds[step])}" if step in made.seconds else ""
            lines.append(f"{'':18}{counted(rows, 'row')} measured again: {step}{took}")
    if any(made.stale for made in plans):
        lines += ["", "Nothing was run. Rows that are new, or let in by a threshold, are measured as well."]
    return "\n".join(lines)
