"""What a run would do, and why: told from what the tables say of themselves. Nothing is loaded, measured, written."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa

from imgdiff_assets.common.plain_text import counted
from imgdiff_assets.engine.given_pairs import stage_of_shard
from imgdiff_assets.engine.loaded_models import LoadedModels
from imgdiff_assets.engine.parents import MissingInput, read_inputs
from imgdiff_assets.engine.record import role_identity
from imgdiff_assets.engine.staleness import Staleness
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.reading.scan import scan
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.recipe.recorded_recipe import UnknownOrigin
from imgdiff_assets.stages.graph import chosen_stages, stage_named
from imgdiff_assets.stages.stage import Stage
from imgdiff_assets.what_if.stored_stage import Origin

LONGEST_VALUE = 40


@dataclass(slots=True)
class StagePlan:
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


def plan(home: Home, recipe: Recipe, shards: Sequence[str], select: Sequence[str] | None = None) -> list[StagePlan]:
    """What `run` would do with the same arguments.

    Raises FileNotFoundError when the weights of a model are missing, ValueError for an unknown stage.
    """
    names = chosen_stages(select)
    staleness = Staleness(home, recipe, names)
    models = LoadedModels({role: getattr(recipe.models, role) for role in type(recipe.models).model_fields}, {})
    stale = {key: staleness.stages(key) for key in shards}
    return [_stage_plan(home, stage_named(name), recipe, models, stale) for name in names]


def _stage_plan(
    home: Home, stage: Stage, recipe: Recipe, models: LoadedModels, stale: Mapping[str, Sequence[str]]
) -> StagePlan:
    reasons: Counter[str] = Counter()
    outdated: dict[str, list[str]] = {step.name: [] for step in stage.measurements}
    shards = [key for key, names in stale.items() if stage.name in names]
    for key in shards:
        table = _Table(home, stage_of_shard(stage, home, key), key, recipe, models)
        reasons.update(table.reasons(parent_is_stale=bool(set(stage.parents) & set(stale[key]))))
        for step in table.outdated():
            outdated[step].append(key)
    again = {}
    for measurement in stage.measurements:
        if keys := outdated[measurement.name]:
            results = scan(Ledger(home.ledger), stage.name, [measurement.fingerprint_column], shards=keys)
            again[measurement.name] = len(results) - results[measurement.fingerprint_column].null_count
    return StagePlan(stage.name, len(stale), len(shards), dict(reasons.most_common()), again)


def plan_text(plans: Sequence[StagePlan]) -> str:
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


class _Table:
    """One table beside the recipe that would make it now."""

    def __init__(self, home: Home, stage: Stage, shard: str, recipe: Recipe, models: LoadedModels) -> None:
        self._home, self._stage, self._shard, self._recipe, self._models = home, stage, shard, recipe, models
        self._ledger = Ledger(home.ledger)
        self._record = self._ledger.record(stage.name, shard)

    def outdated(self) -> set[str]:
        """The measurements whose stored results would be made anew."""
        if self._record is None:
            return set()
        other = self._other_weights(self._record)
        steps = {step.name for step in self._stage.measurements if other & set(step.roles)}
        try:
            return steps | Origin(self._record).outdated(self._stage, self._recipe)
        except UnknownOrigin:
            return {step.name for step in self._stage.measurements}

    def reasons(self, parent_is_stale: bool) -> list[str]:
        """Why the table is made again, each in a few words."""
        if self._record is None:
            exists = self._ledger.table_path(self._stage.name, self._shard).exists()
            return ["damaged" if exists else "not made yet"]
        found = [*self._changes(self._record)]
        if self._ledger.staging(self._stage.name, self._shard).exists():
            found.append("a run was stopped in the middle")
        if self._record["errors"]:
            found.append("rows failed, and are tried again")
        if self._record["code_version"] != self._stage.code_version:
            found.append("the code is newer")
        if parent_is_stale:
            found.append("a table that it is made of may change")
        elif self._inputs_hash() != self._record["inputs_hash"]:
            found.append("what it is made of has changed")
        return found or ["something else that it depends on in the recipe has changed"]

    def _changes(self, record: Mapping[str, Any]) -> Iterator[str]:
        if record["seed"] != self._recipe.seed:
            yield _change("seed", record["seed"], self._recipe.seed)
        yield from _differences(
            self._stage.name, record["settings"], self._stage.settings(self._recipe).model_dump(mode="json")
        )
        for role, then in record["models"].items():
            now = role_identity(self._stage, role, self._recipe, self._models)
            yield from _differences(role, {**then, "weights": None}, {**now, "weights": None})
        yield from (f"{role}: other weights" for role in sorted(self._other_weights(record)))

    def _other_weights(self, record: Mapping[str, Any]) -> set[str]:
        """The roles whose weights are others, by content."""
        return {
            role
            for role, then in record["models"].items()
            if then["weights"] != role_identity(self._stage, role, self._recipe, self._models)["weights"]
        }

    def _inputs_hash(self) -> str | None:
        try:
            return read_inputs(self._stage, self._home, self._shard).hash
        except (MissingInput, pa.ArrowException, OSError):
            return None


def _differences(section: str, then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for key in dict.fromkeys([*then, *now]):
        if then.get(key) != now.get(key):
            yield _change(f"{section}.{key}", then.get(key), now.get(key))


def _change(name: str, then: Any, now: Any) -> str:
    values = [json.dumps(value, ensure_ascii=False) for value in (then, now)]
    return f"{name}: " + (" → ".join(values) if max(map(len, values)) <= LONGEST_VALUE else "changed")
