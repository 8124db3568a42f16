"""Hours that models may work by themselves in a day or a week, and how many of them are spent."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from imgdiff_assets.common.plain_text import duration_text
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.reading.hours import seconds_per_shard, seconds_since
from imgdiff_assets.recipe.automation_settings import AutomationSettings


@dataclass(frozen=True, slots=True)
class Spent:
    """What is spent of a budget since `begun`; both in seconds."""

    seconds: float
    budget: float
    begun: datetime.datetime
    until: datetime.datetime

    @property
    def left(self) -> float:
        return max(self.budget - self.seconds, 0.0)

    @property
    def sentence(self) -> str:
        """What is said when nothing is left."""
        return f"The budget is spent: {self}. `imgdiff run` is not held back."

    def __str__(self) -> str:
        share = f"{duration_text(self.seconds)} of {duration_text(self.budget)} spent"
        return f"{share} since {self.begun:%a %H:%M}; it begins anew on {self.until:%a %d %b at %H:%M %Z}"


def spent(
    settings: AutomationSettings, ledger: Ledger, shards: Sequence[str], now: datetime.datetime | None = None
) -> Spent | None:
    """What models worked since midnight (or Monday) of the recipe's time zone, in whoever's runs; None: no budget.

    A table counts when it is written: one that is in the making does not yet.
    """
    budget = settings.budget
    if budget is None:
        return None
    zone = ZoneInfo(settings.timezone)
    today = (now or datetime.datetime.now(zone)).astimezone(zone).date()
    days = 7 if budget.per == "week" else 1
    first = today - datetime.timedelta(days=today.weekday() if budget.per == "week" else 0)
    begun, until = (
        datetime.datetime.combine(day, datetime.time(), zone) for day in (first, first + datetime.timedelta(days=days))
    )
    return Spent(seconds_since(ledger, shards, begun), budget.hours * 3600, begun, until)


def affordable(left: Spent, ledger: Ledger, shards: Sequence[str]) -> int:
    """How many shards are likely to be made with what is left; one where no run tells, 0 where nothing is left."""
    if not left.left:
        return 0
    each = seconds_per_shard(ledger, shards)
    return max(int(left.left / each), 1) if each else 1
