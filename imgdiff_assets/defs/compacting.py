"""Looking after the room that a home takes, where others are at work on it."""

import datetime
import os
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from imgdiff_assets.common.aliases import Say
from imgdiff_assets.common.progress import Progress
from imgdiff_assets.defs.unheld_shards import while_unheld
from imgdiff_assets.engine.dropped_images import WITH_IMAGES, drop_rejected
from imgdiff_assets.engine.staleness import Staleness
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.shards import shard_keys
from imgdiff_assets.ledger.checked_file import DamagedTable
from imgdiff_assets.ledger.compaction import Room, migrate, sweep
from imgdiff_assets.ledger.home_format import say_format
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import SAMPLES, STAGE_NAMES

GRACE = 24.0
"""Hours that a part stays which nothing names any more: a reader may still have the table of before open."""


@dataclass(slots=True)
class Compacted:
    """What was taken back; `passed_over` says of shards why they were not looked at."""

    room: Room = field(default_factory=Room)
    passed_over: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def compact_home(
    home: Home, recipe: Recipe, grace: float, dry: bool, progress: Progress = lambda what, done, total: None
) -> Compacted:
    """Delete parts that nothing names, older than `grace` hours, and drop images as the recipe's retention says.

    Shards that a run holds, and those whose tables are not as the recipe makes them, keep what they have. What is
    dropped now is deleted when its grace is over. With `dry`, nothing is changed.
    """
    result, ledger = Compacted(), Ledger(home.ledger)
    staleness = Staleness(home, recipe, STAGE_NAMES)
    days = recipe.retention.days
    before = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=days or 0)

    def compact(key: str) -> None:
        try:
            if days is not None and not dry and ledger.exists(SAMPLES, key):
                if staleness.unusable(key):
                    result.passed_over[key] = "its tables are not as the recipe makes them: `imgdiff run` first"
                else:
                    result.room.images += drop_rejected(home, ledger, key, before)
            for stage in WITH_IMAGES:
                found = sweep(ledger, stage.name, key, grace * 3600, dry)
                result.room.files += found.files
                result.room.bytes += found.bytes
        except DamagedTable as damage:
            result.passed_over[key] = str(damage)

    result.passed_over |= _each(home, compact, progress, "compact")
    return result


@dataclass(slots=True)
class Migrated:
    """How many `tables` had their images put into parts; `passed_over` as `Compacted`."""

    tables: int = 0
    passed_over: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def migrate_home(
    home: Home, log: Say = lambda text: None, progress: Progress = lambda what, done, total: None
) -> Migrated:
    """Bring all tables of a home to today's format; a run that holds one is waited for, and `log` hears for which.

    Stopped at any moment, each table is whole, and the next call goes on.
    """
    result, ledger, keys = Migrated(), Ledger(home.ledger), shard_keys(home)
    holder = f"`imgdiff ledger migrate` (process {os.getpid()} on {platform.node()})"
    say_format(home.ledger)
    for done, key in enumerate(keys):
        progress("migrate", done, len(keys))
        for stage in WITH_IMAGES:
            try:
                with ledger.lock(stage.name, key, holder, log):
                    result.tables += migrate(ledger, stage.name, key)
            except DamagedTable as damage:
                result.passed_over[key] = str(damage)
    progress("migrate", len(keys), len(keys))
    return result


def _each(home: Home, work: Callable[[str], None], progress: Progress, what: str) -> dict[str, str]:
    """Work on each shard that nobody else works on; returns why the others were passed over."""
    keys = shard_keys(home)
    passed_over = {}
    for done, (key, reason) in enumerate(while_unheld(home, keys, work), 1):
        progress(what, done, len(keys))
        if reason is not None:
            passed_over[key] = reason
    return passed_over
