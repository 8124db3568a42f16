"""How a home stands, on one screen: from footers, locks and histories alone, without Dagster."""

import datetime
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from imgdiff_assets.common.plain_text import bytes_text, counted, duration_text, listed
from imgdiff_assets.engine.staleness import Staleness
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.shards import shard_keys
from imgdiff_assets.ledger.batch_notes import noted
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.reading.budget import spent
from imgdiff_assets.reading.hours import seconds_per_shard
from imgdiff_assets.recipe.cron import next_time
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import STAGE_NAMES
from resources.loading.file_lock import holders

LISTED = 4


@dataclass(slots=True)
class Status:
    """Shards by how they are, what works, what comes next, and what is left of disk and budget.

    `stale` counts shards by their first reason, `failing` has the rows that could not be measured by shard, `left` the
    shards by measurement in which rows are as an earlier release measured them. `waits` has by table what a batch
    service has been asked and has not been collected from it. `working` says who has what in hand.
    `seconds` is what the shards that are not made yet are likely to take, None where no run tells. `free` and `disk`
    are bytes.
    """

    home: str
    recipe: str
    shards: int
    fresh: int
    stale: dict[str, int]
    failing: dict[str, int]
    left: dict[str, int]
    waits: dict[str, list[str]]
    working: dict[str, str]
    next_run: str | None
    unmade: int
    seconds: float | None
    free: int
    disk: int
    budget: str | None
    missing_weights: str | None = None
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> Mapping[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    def to_text(self) -> str:
        """A line or a few for each."""
        stale = sum(self.stale.values())
        lines = [("home", f"{self.home}, recipe {self.recipe}")]
        lines += [("", note) for note in self.notes]
        made = f"{counted(self.shards, 'shard')}: {self.fresh:,} fresh, {stale:,} stale"
        lines.append(("shards", self.missing_weights or (made if self.shards else "none; `imgdiff ingest FILE`")))
        lines += [("", f"{count:>5,} × {reason}") for reason, count in self.stale.items()]
        rows = sum(self.failing.values())
        where = ", ".join(listed(list(self.failing), LISTED))
        lines += [("failing", f"{counted(rows, 'row')} of {where}; `imgdiff run --retry-failed`")] if rows else []
        lines += [
            ("left", f"{what} in {counted(count, 'shard')}, by an earlier release")
            for what, count in self.left.items()
        ]
        waits = [f"{table}: {'; '.join(what)}" for table, what in self.waits.items()]
        lines += [("waits", text) for text in listed(waits, LISTED)]
        lines += [("works", f"{what}: {who}") for what, who in self.working.items()] or [("works", "nothing")]
        when = f"{self.next_run}, while `imgdiff ui` is open" if self.next_run else "no schedule; `imgdiff run`"
        took = f"; about {duration_text(self.seconds)} for {counted(self.unmade, 'new shard')}" if self.seconds else ""
        lines.append(("next", f"{when}{took}" if stale else f"nothing to do; {when}"))
        lines.append(("room", f"{bytes_text(self.free)} free of {bytes_text(self.disk)}"))
        lines.append(("budget", self.budget or "none: runs are asked for whatever they take"))
        return "\n".join(f"{name:<9}{text}" for name, text in lines)


def status(home: Home, recipe: Recipe) -> Status:
    """Look at everything once; nothing is loaded, written or held."""
    ledger, keys, settings = Ledger(home.ledger), shard_keys(home), recipe.automation
    reasons, failing, left, unmade = Counter[str](), dict[str, int](), Counter[str](), 0
    missing = None
    try:
        staleness = Staleness(home, recipe, STAGE_NAMES)
        for key in keys:
            plans = staleness.plans(key)
            reasons.update([plan.reasons[0] for plan in plans if plan.reasons][:1])
            unmade += plans[0].record is None
            if rows := sum(plan.retries for plan in plans):
                failing[key] = rows
            left.update(f"{p.how.stage.name}: {step}" for p in plans if p.record for step in p.record.get("left", ()))
    except FileNotFoundError as error:
        missing = str(error)
    waits: dict[str, list[str]] = {}
    for asset, key, note in noted(ledger.root):
        waits.setdefault(f"{asset} of {key}", []).append(note.to_text())
    each = seconds_per_shard(ledger, keys) if unmade else None
    disk = shutil.disk_usage(next(path for path in (home.local, *home.local.parents) if path.exists()))
    budget = spent(settings, ledger, keys)
    when = None
    if settings.cron is not None:
        when = f"{next_time(settings.cron, settings.timezone, datetime.datetime.now(datetime.UTC)):%a %d %b %H:%M %Z}"
    return Status(
        home=str(home.root),
        recipe=recipe.name,
        shards=len(keys),
        fresh=0 if missing else len(keys) - reasons.total(),
        stale=dict(reasons.most_common(LISTED)),
        failing=failing,
        left=dict(left),
        waits=waits,
        working=holders(ledger.locks),
        next_run=when,
        unmade=unmade,
        seconds=each * unmade if each else None,
        free=disk.free,
        disk=disk.total,
        budget=str(budget) if budget is not None else None,
        missing_weights=missing,
    )
