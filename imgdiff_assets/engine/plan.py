"""The plan of a table: what it depends on, hashed; what of it is fresh; and why the rest is not.

Computed here once, and handed to whatever runs, foretells or explains a run: `materialize`, `staleness`, the dry run,
what-if and the table's own record.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from imgdiff_assets.common.hashing import content_hash
from imgdiff_assets.engine.loaded_models import LoadedModels
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.store.entry import StoreError
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import stages_of
from imgdiff_assets.stages.settings import SEED
from imgdiff_assets.stages.stage import Stage
from imgdiff_assets.stages.steps import Filter, Measurement, always

LONGEST_VALUE = 40
RETRY = "rows failed, and are tried again"
LEFT = "rows are as an earlier release measured them"


@dataclass(frozen=True)
class StagePlan:
    """How one recipe makes the tables of a stage, whatever their inputs.

    `models` are the identities of the roles, `settings` the stage's section as JSON values, `seed` the recipe's.
    `measured_with` are, by measurement, the settings that it depends on, `made_with` those of the items, and
    `item_versions` the versions of the code that makes items, by what it makes. `unread` are the measurements whose
    results nothing of the recipe reads: no more of them are made.
    """

    stage: Stage
    seed: int
    settings: Mapping[str, Any]
    models: Mapping[str, Mapping[str, Any]]
    measured_with: Mapping[str, Mapping[str, Any]]
    made_with: Mapping[str, Any]
    item_versions: Mapping[str, int]
    unread: frozenset[str]
    max_tries: int
    max_error_share: float

    def identities(self, step: Measurement, version: int | None = None) -> dict[str | None, str]:
        """By the way that rows are measured in, `identity`; of most measurements there is one, None."""
        return {way: self.identity(step, version, way) for way in step.by_way or (None,)}

    def identity(self, step: Measurement, version: int | None = None, way: str | None = None) -> str:
        """Hash of all that a measurement depends on beside its row: the constant part of its fingerprints.

        With `version`, as it was when the code had that one.
        """
        models = [self.models[role] for role in step.by_way.get(way, step.roles)]
        then = step.version if version is None else version
        return content_hash(self.stage.name, step.name, then, self.measured_with[step.name], models)

    @cached_property
    def hash(self) -> str:
        """Hash of all that a table depends on beside its inputs: measurements, items, and how rows are judged."""
        return self._hash(self.unread)

    @cached_property
    def hashes(self) -> frozenset[str]:
        """The hashes of tables that are as the recipe has them: one that has more than anything reads is, too."""
        return frozenset({self.hash, self._hash(frozenset())})

    @property
    def read_by_some(self) -> list[str]:
        """The measurements whose results this recipe reads, and others do not: a table may lack them."""
        steps = (step for step in self.stage.measurements if step.read is not always)
        return [step.name for step in steps if step.name not in self.unread]

    def lacking(self, settings_hash: str) -> list[str]:
        """Those of `read_by_some`, if they are all that a table of this hash lacks."""
        found = self.read_by_some
        return found if found and self._hash(self.unread | {*found}) == settings_hash else []

    def _hash(self, unread: frozenset[str]) -> str:
        judged = [
            ("filter" if isinstance(step, Filter) else "derivation", _name(step), step.version)
            for step in self.stage.steps
            if not isinstance(step, Measurement)
        ]
        asked = (step for step in self.stage.measurements if step.name not in unread)
        measured = [(step.name, *self.identities(step).values()) for step in asked]
        newer = {name: version for name, version in self.item_versions.items() if version > 1}
        return content_hash(self.settings, measured, self.made_with, judged, *([newer] if newer else []))

    def outdated(self, record: Mapping[str, Any]) -> frozenset[str]:
        """The measurements whose stored results a run would make anew, going by the record of their table.

        Weights are compared where both sides know them.
        """
        if is_given(self.stage, record):
            return frozenset()
        versions = self.stage.versions(record["code_version"])
        return frozenset(
            step.name
            for step in self.stage.measurements
            if versions.get(step.name) != str(step.version) or not self._asked_alike(step, record)
        )

    def earlier_versions(self, record: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
        """By measurement, the versions of its code, other than today's, that measured rows of a table.

        None of a measurement whose settings or models are others now: of such no row stays as it is.
        """
        if is_given(self.stage, record):
            return {}
        versions, left = self.stage.versions(record["code_version"]), record.get("left", {})
        found: dict[str, tuple[int, ...]] = {}
        for step in self.stage.measurements:
            then = {*left.get(step.name, ()), *(int(versions[name]) for name in (step.name,) if name in versions)}
            if earlier := sorted(then - {step.version}):
                found |= {step.name: tuple(earlier)} if self._asked_alike(step, record) else {}
        return found

    def _asked_alike(self, step: Measurement, record: Mapping[str, Any]) -> bool:
        """Whether a measurement has the settings and models that a table was made with."""
        return _recorded(record, step.settings, step.section) == self.measured_with[step.name] and not any(
            _differs(record["models"].get(role), self.models[role]) for role in step.roles
        )

    def other_items(self, record: Mapping[str, Any]) -> bool:
        """Whether the recipe's items may be others than those that a table was made of."""
        return _recorded(record, tuple(self.made_with)) != self.made_with or self.newer_items(record)

    def newer_items(self, record: Mapping[str, Any]) -> bool:
        """Whether items of a table are now made by code of another version."""
        then = record.get("item_versions") or {}
        return any(then.get(name, 1) != version for name, version in self.item_versions.items())

    def judged_alike(self, record: Mapping[str, Any]) -> bool:
        """Whether the recipe has the settings that a table was judged by; no recipe judges given pairs."""
        return is_given(self.stage, record) or record["settings"] == self.settings

    def changes(self, record: Mapping[str, Any]) -> Iterator[str]:
        """What of the recipe is not what a table was made with, each in a few words."""
        if record["seed"] != self.seed:
            yield _change(SEED, record["seed"], self.seed)
        yield from _differences(self.stage.name, record["settings"], self.settings)
        for name, value in self.made_with.items():
            if "." in name and record.get("made_with", {}).get(name, value) != value:
                yield _change(name, record["made_with"][name], value)
        for role, now in self.models.items():
            then = record["models"].get(role, now)
            yield from _differences(role, {**then, "weights": None}, {**now, "weights": None})
            if None not in (then.get("weights"), now.get("weights")) and then["weights"] != now["weights"]:
                yield f"{role}: other weights"


def plan_stage(stage: Stage, recipe: Recipe, models: LoadedModels | None) -> StagePlan:
    """Raises FileNotFoundError when weights are missing; without `models`, weights are not looked at.

    A stage that is switched off needs none.
    """
    stage = stage.under(recipe)
    return StagePlan(
        stage=stage,
        seed=recipe.seed,
        settings=stage.settings(recipe).model_dump(mode="json"),
        models={role: _identity(stage, role, recipe, models) for role in stage.roles},
        measured_with={step.name: stage.recorded_values(recipe, step.settings, step) for step in stage.measurements},
        made_with=stage.recorded_values(recipe, stage.item_settings),
        item_versions=stage.item_versions(stage.settings(recipe)),
        unread=_unread(stage, recipe),
        max_tries=recipe.max_tries,
        max_error_share=recipe.max_error_share,
    )


def _unread(stage: Stage, recipe: Recipe) -> frozenset[str]:
    """The measurements whose results nothing reads: no task, no step of the stage, and no stage of a package."""
    if any(other.package and stage.name in other.parents for other in stages_of(recipe)):
        return frozenset()
    columns = {name for step in stage.steps for name in step.reads}
    return frozenset(
        step.name
        for step in stage.measurements
        if not step.read(recipe) and columns.isdisjoint(column.name for column in step.columns)
    )


@dataclass(frozen=True, slots=True)
class TablePlan:
    """One table beside its stage's plan: `record` is what it says of itself, None where it has nothing to say.

    `reasons` say why it is to be made again; there is none for a table that is fresh. `retries` are rows of a table
    that failed when it was measured: while they may be tried again, the table is to be made for that `reason`.
    """

    how: StagePlan
    shard: str
    inputs_hash: str | None
    record: Mapping[str, Any] | None
    reasons: tuple[str, ...]

    @property
    def fresh(self) -> bool:
        """Whether nothing is to be done."""
        return not self.reasons

    @property
    def usable(self) -> bool:
        """Whether the table is what the recipe makes, but for rows that failed and wait for another try."""
        return self.reasons in ((), (RETRY,))

    @property
    def earlier_versions(self) -> dict[str, tuple[int, ...]]:
        """See `StagePlan.earlier_versions`."""
        return self.how.earlier_versions(self.record) if self.record is not None else {}

    @property
    def renewed(self) -> frozenset[str]:
        """The measurements of which this release has newer code than the table was made with: a run asks first."""
        return frozenset(self.earlier_versions) & self.how.outdated(self.record) if self.record else frozenset()

    @property
    def retries(self) -> int:
        """Rows that could not be measured."""
        return int(self.record["errors"]) if self.record is not None else 0

    @property
    def tries(self) -> int:
        """How often rows of this very table were tried and failed."""
        if self.record is None or not self.record["errors"] or not self.usable:
            return 0
        return int(self.record.get("tries", 1))


def plan_table(
    how: StagePlan,
    ledger: Ledger,
    shard: str,
    inputs_hash: str | None,
    parent_is_stale: bool = False,
    again: bool = False,
) -> TablePlan:
    """What is to be done with one table, from its footer; `inputs_hash` is None where the inputs are not whole.

    With `again`, a table is stale, too, in which rows were left as an earlier release had measured them.
    """
    record, reasons = _look(how, ledger, shard, inputs_hash, parent_is_stale)
    if again and record is not None and record.get("left"):
        reasons.append(LEFT)
    return TablePlan(how, shard, inputs_hash, record, tuple(reasons))


def _look(
    how: StagePlan, ledger: Ledger, shard: str, inputs_hash: str | None, parent_is_stale: bool
) -> tuple[Mapping[str, Any] | None, list[str]]:
    stage = how.stage
    try:
        record = recorded(ledger, stage, shard)
        names = ledger.column_names(stage.name, shard) if record is not None else None
    except StoreError:
        raise
    except OSError:
        return None, ["damaged"]
    if record is None:
        return None, ["damaged" if ledger.exists(stage.name, shard) else "not made yet"]
    found: list[str] = []
    if ledger.is_staged(stage.name, shard):
        found.append("a run was stopped in the middle")
    if _is_older(stage, record["code_version"]) or how.newer_items(record):
        found.append("the code is newer")
    if parent_is_stale:
        found.append("a table that it is made of may change")
    elif record["inputs_hash"] != inputs_hash:
        found.append("what it is made of has changed")
    if record["settings_hash"] not in how.hashes or names != stage.schema.names:
        lacking = [
            f"{name} is read now, and not measured of all rows" for name in how.lacking(record["settings_hash"])
        ]
        found = [*how.changes(record), *lacking, *found] or ["it is judged by other rules now"]
    if record.get("error_share", record["errors"] / max(record["rows"], 1)) > how.max_error_share:
        found.append("too many rows failed")
    if record["errors"] and (found or record.get("tries", 1) < how.max_tries):
        found.append(RETRY)
    return record, found


def recorded(ledger: Ledger, stage: Stage, shard: str) -> dict[str, Any] | None:
    """What a table says of how it was made; None where it says nothing. Raises OSError.

    Tables of release 0.1.0 do not tell the settings of other stages that their items depend on: the table of that
    stage tells them.
    """
    record = ledger.record(stage.name, shard)
    if record is None or "made_with" in record:
        return record
    others = [name.partition(".") for name in stage.item_settings if "." in name]
    known = {name: (ledger.record(name, shard) or {}).get("settings", {}) for name, _, _ in others}
    made_with = {f"{name}.{key}": known[name][key] for name, _, key in others if key in known[name]}
    return {**record, "made_with": made_with}


def identity_then(
    stage: Stage, step: Measurement, version: int, record: Mapping[str, Any], way: str | None = None
) -> str:
    """The identity of a measurement as it was when the code had a version, by the record of its table."""
    models = [record["models"][role] for role in step.by_way.get(way, step.roles)]
    settings = _recorded(record, step.settings, step.section)
    return content_hash(stage.name, step.name, version, settings, models)


def is_given(stage: Stage, record: Mapping[str, Any]) -> bool:
    """Whether a table has rows of given pairs that no model had a part in: no recipe judges or measures them."""
    own = [step for step in stage.measurements if not step.section]
    return any(step.roles for step in own) and not record["models"]


def _identity(stage: Stage, role: str, recipe: Recipe, models: LoadedModels | None) -> Mapping[str, Any]:
    if models is None:
        return {**recipe.role(role).identity(), "weights": None}
    try:
        return models.identity(role)
    except FileNotFoundError:
        if stage.enabled(recipe):
            raise
        return {**models.settings(role).identity(), "weights": None}


def _recorded(record: Mapping[str, Any], names: tuple[str, ...], section: str = "") -> dict[str, Any]:
    """The settings of these names that a table was made with; without those that it does not tell."""
    own = record["settings"]
    for part in filter(None, section.split(".")):
        own = own.get(part) or {}
    # An optional part names the settings that it shares with its stage as those of another are named.
    of_stage = {f"{record['asset']}.{name}": value for name, value in record["settings"].items()}
    values = {SEED: record["seed"], **of_stage, **own, **record.get("made_with", {})}
    return {name: values[name] for name in names if name in values}


def _differs(then: Mapping[str, Any] | None, now: Mapping[str, Any]) -> bool:
    if then is None or None in (then.get("weights"), now.get("weights")):
        then, now = {**(then or {}), "weights": None}, {**now, "weights": None}
    return then != now


def _is_older(stage: Stage, code_version: str) -> bool:
    """Whether a table's code is not today's; that an installed filter is newly on is a matter of settings."""
    then, now = stage.versions(code_version), stage.versions(stage.code_version)
    own = {step.name for step in stage.measurements if not step.section}
    return any(then.get(name) != now.get(name) for name in own | (then.keys() & now.keys()))


def _name(step: Any) -> str:
    return str(step.name if isinstance(step, Filter) else step.column.name)


def _differences(section: str, then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for key in dict.fromkeys([*then, *now]):
        before, after = then.get(key), now.get(key)
        if isinstance(before, Mapping) or isinstance(after, Mapping):
            yield from _differences(f"{section}.{key}", before or {}, after or {})
        elif before != after:
            yield _change(f"{section}.{key}", before, after)


def _change(name: str, then: Any, now: Any) -> str:
    values = [json.dumps(value, ensure_ascii=False) for value in (then, now)]
    return f"{name}: " + (" → ".join(values) if max(map(len, values)) <= LONGEST_VALUE else "changed")
