"""What is different from the release before: samples added, gone and changed, each with its reason."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from imgdiff_assets.common.aliases import Row
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.removed_sources import read_removed
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.reading.scan import scan
from imgdiff_assets.reading.verdicts import in_words
from imgdiff_assets.release.contents import KEYS, VALUES, Contents
from imgdiff_assets.stages.graph import SAMPLES, stage_named
from imgdiff_assets.stages.stage import OUTSIDE, UPSTREAM


@dataclass(frozen=True, slots=True)
class Change:
    """`kind` is `added`, `gone` or `changed`; `why` is one clause."""

    kind: str
    sample_id: str
    task: str
    why: str


def changes(ledger: Ledger, before: Contents, now: Contents) -> list[Change]:
    """In the order of the samples: what is new or changed, then what is gone. Raises DamagedTable."""
    old, new = ({_key(row): row for row in found.samples} for found in (before, now))
    reasons = _Reasons(ledger, now)
    new_shards = set(now.manifest["shards"]) - set(before.manifest["shards"])
    made_otherwise = settings_changed(before, now)
    captions = {row["caption_id"] for row in before.samples}
    found = []
    for key, row in new.items():
        if key not in old:
            why = _why_added(row, new_shards, captions, bool(made_otherwise))
            found.append(Change("added", row["sample_id"], row["task"], why))
        elif differing := [name for name in VALUES if row[name] != old[key][name]]:
            found.append(Change("changed", row["sample_id"], row["task"], f"another {', '.join(differing)}"))
    for key, row in old.items():
        if key not in new:
            found.append(Change("gone", row["sample_id"], row["task"], reasons.of(row)))
    return found


def settings_changed(before: Contents, now: Contents) -> list[str]:
    """One line per setting, model or code version that is not what it was."""
    return [
        f"{name}: {_short(one)} → {_short(other)}"
        for part in ("recipe", "seed", "settings", "models", "code_versions")
        for name, one, other in _differences(part, before.manifest.get(part), now.manifest.get(part))
    ]


def counted(found: list[Change]) -> Mapping[str, Mapping[str, int]]:
    """How many changes there are of each kind, by reason."""
    return {
        kind: dict(sorted(Counter(change.why for change in found if change.kind == kind).items()))
        for kind in ("added", "gone", "changed")
    }


def _key(row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in KEYS)


def _why_added(row: Row, new_shards: set[str], captions: set[str], made_otherwise: bool) -> str:
    if row["shard"] in new_shards:
        return f"{row['shard']} is new, or was not fresh"
    if made_otherwise:
        return "kept under the changed settings"
    return "more of a caption that was there" if row["caption_id"] in captions else "its caption had no samples"


def _line(sample: Row) -> Iterator[tuple[str, str]]:
    """The tables that a sample came through, from its own up to the first, each with its id column."""
    table = SAMPLES
    while table not in OUTSIDE:
        stage = stage_named(table)
        yield table, stage.id_column
        table = next(origin.table for origin in stage.above if origin.concerns(sample))


class _Reasons:
    """Why samples of an earlier release are not in this one, from the verdicts in the ledger."""

    def __init__(self, ledger: Ledger, now: Contents) -> None:
        self._ledger, self._now = ledger, now
        self._removed = read_removed(Home(ledger.root.parent)).captions
        self._verdicts: dict[tuple[str, str], dict[str, Row]] = {}

    def of(self, row: Row) -> str:
        manifest = self._now.manifest
        if row["caption_id"] in self._removed:
            return "its source was removed"
        if row["shard"] not in manifest["shards"]:
            return (
                f"{row['shard']} is not fresh" if row["shard"] in manifest["not_fresh"] else f"{row['shard']} is gone"
            )
        if row["sample_id"] in manifest["near_duplicates_left_out"]:
            return "a near-duplicate of another shard's validation sample"
        if row["task"] not in manifest["settings"][SAMPLES].get("tasks", ()) and not row["erased_from"]:
            return f"the task {row['task']} is switched off"
        for table, column in _line(row):
            verdict = self._table(table, column, row["shard"]).get(row[column])
            if verdict is None and table != SAMPLES:
                return f"{table} was made anew, and has other rows"
            if verdict is not None and verdict["rejected_by"] not in (None, UPSTREAM):
                return f"{table}: {in_words(stage_named(table), verdict)}"
        return "its texts were measured anew"

    def _table(self, table: str, column: str, shard: str) -> dict[str, Row]:
        if (table, shard) not in self._verdicts:
            rows = scan(self._ledger, table, [column, "kept", "rejected_by", "error"], shards=[shard]).to_pylist()
            self._verdicts[table, shard] = {row[column]: row for row in rows}
        return self._verdicts[table, shard]


def _differences(name: str, one: Any, other: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted({*one, *other}):
            yield from _differences(f"{name}.{key}", one.get(key), other.get(key))
    elif one != other:
        yield name, one, other


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
