"""What this release would measure otherwise than an earlier one did: which rows, and how long that would take."""

from collections.abc import Sequence
from dataclasses import dataclass

from imgdiff_assets.common.plain_text import counted, duration_text
from imgdiff_assets.engine.plan import TablePlan
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.reading.hours import seconds_per_row
from imgdiff_assets.reading.scan import scan
from imgdiff_assets.stages.graph import STAGES, stage_named
from imgdiff_assets.stages.stage import Stage


@dataclass(frozen=True, slots=True)
class Again:
    """Rows of one measurement, and how long they take to be measured again; None seconds where no run tells."""

    stage: str
    step: str
    rows: int
    seconds: float | None

    def __str__(self) -> str:
        took = f", about {duration_text(self.seconds)}" if self.seconds is not None else ""
        return f"{f'{self.stage}: {self.step}':<36}{counted(self.rows, 'row')}{took}"


@dataclass(frozen=True, slots=True)
class Upgrade:
    """What newer code measures otherwise, and what follows from it where it comes out otherwise."""

    again: tuple[Again, ...]
    below: tuple[Again, ...]

    def to_text(self) -> str:
        """A line for each measurement, and one for what follows."""
        lines = ["This release measures otherwise what an earlier one measured (see CHANGELOG.md):"]
        lines += [f"  {again}" for again in self.again]
        if self.below:
            rows = sum(again.rows for again in self.below)
            seconds = sum(again.seconds or 0.0 for again in self.below)
            lines.append(
                f"  and, where results differ, what follows from them: up to {counted(rows, 'row')}, about "
                f"{duration_text(seconds)}"
            )
        return "\n".join(lines)


def upgrade(ledger: Ledger, tables: Sequence[TablePlan]) -> Upgrade:
    """What a run that is told to would measure again of tables that are `renewed`."""
    again: list[Again] = []
    below: dict[tuple[str, str], set[str]] = {}
    for stage in STAGES:
        shards: dict[str, list[str]] = {}
        for table in tables:
            if table.how.stage.name == stage.name:
                for step in table.renewed:
                    shards.setdefault(step, []).append(table.shard)
        for step, keys in shards.items():
            again += counted_again(ledger, stage, step, keys)
            for name, later in _after(stage, step):
                below.setdefault((name, later), set()).update(keys)
    asked = {(each.stage, each.step) for each in again}
    follow = [
        each
        for (name, step), keys in below.items()
        if (name, step) not in asked
        for each in counted_again(ledger, stage_named(name), step, sorted(keys))
    ]
    return Upgrade(tuple(again), tuple(follow))


def _after(stage: Stage, step: str) -> list[tuple[str, str]]:
    """The measurements by models that may see a result of one: later ones of its stage, and all of those below."""
    names = [each.name for each in stage.measurements]
    later = [(stage.name, each.name) for each in stage.measurements[names.index(step) + 1 :] if each.roles]
    below = {stage.name}
    for each in STAGES:
        if below & {*each.parents, *each.also}:
            below.add(each.name)
            later += [(each.name, measurement.name) for measurement in each.measurements if measurement.roles]
    return later


def counted_again(ledger: Ledger, stage: Stage, step: str, shards: Sequence[str]) -> list[Again]:
    """The rows that have a result of a measurement, if any."""
    measurement = next(each for each in stage.measurements if each.name == step)
    results = scan(ledger, stage.name, [measurement.fingerprint_column], shards=shards)
    rows = len(results) - results[measurement.fingerprint_column].null_count
    rate = seconds_per_row(ledger, stage, step, shards)
    return [Again(stage.name, step, rows, None if rate is None else rate * rows)] if rows else []
