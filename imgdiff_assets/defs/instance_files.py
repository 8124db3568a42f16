"""The files of a Dagster instance, and whether they are as a run left them that had told Dagster everything.

Dagster takes longer to begin than a look at a thousand shards: who finds nothing to do, and these as they were, need
not begin it. Nothing here imports it.
"""

import os
import time
from functools import cached_property
from pathlib import Path

import yaml
from pydantic import TypeAdapter

from imgdiff_assets.common.hashing import content_hash
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.memory import YOUNG_SECONDS, Memory
from imgdiff_assets.ledger.store.store import LOCAL

SETTINGS = "dagster.yaml"
DATABASES = ("history/runs.db", "history/runs/index.db")
"""What SQLite keeps of runs, partitions and assets; schedules and sensors write elsewhere."""

JOURNAL = "-wal"
ELSEWHERE = frozenset({"storage", "run_storage", "event_log_storage", "instance_class"})
"""Settings of an instance that is in no files of this folder, or not in all of them."""

STATE = TypeAdapter(str)


def dagster_folder(home: Home) -> Path:
    """Where the Dagster instance of this home is: `<home>/dagster`, unless DAGSTER_HOME names another place."""
    return Path(os.environ.get("DAGSTER_HOME") or home.dagster)


def live_folder(home: Home) -> Path:
    """Where the locks are of the runs that are under way, and of those that were killed."""
    return home.dagster / "live"


class Told:
    """Whether Dagster and the catalog know all there is of shards that are `looked` at, which hashes what was seen."""

    def __init__(self, home: Home, looked: str) -> None:
        self._home, self._looked = home, looked
        self._memory = Memory(home, "told", STATE)

    @cached_property
    def already(self) -> bool:
        """Whether it is so: nothing of the shards, of Dagster's files or the catalog has changed since."""
        state = self._state()
        return bool(state) and state == self._memory.read()

    def remember(self) -> None:
        """Dagster has been told all that was to be told."""
        if state := self._state(YOUNG_SECONDS):
            self._memory.write(state)

    def _state(self, settled_for: float = 0.0) -> str:
        """Another whenever there may be something to tell; empty where nothing is known about that."""
        folder, live = dagster_folder(self._home), live_folder(self._home)
        if not self._looked or (live.exists() and any(live.iterdir())) or _is_elsewhere(folder / SETTINGS):
            return ""
        needed = [folder / SETTINGS, *(folder / name for name in DATABASES), self._home.catalog]
        journals = [path.with_name(path.name + JOURNAL) for path in needed[1:]]
        versions = [LOCAL.version(path) for path in (*needed, *journals)]
        if None in versions[: len(needed)]:
            return ""
        written = max(path.stat().st_mtime for path in needed)
        return content_hash(self._looked, str(folder), versions) if time.time() - written >= settled_for else ""


def _is_elsewhere(settings: Path) -> bool:
    try:
        said = yaml.safe_load(settings.read_bytes())
    except (OSError, yaml.YAMLError):
        return True
    return not isinstance(said, dict) or not ELSEWHERE.isdisjoint(said)
