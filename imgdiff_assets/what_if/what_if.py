"""What another recipe would keep beside what is kept now: the report of `imgdiff what-if`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from imgdiff_assets.common.hashing import content_hash
from imgdiff_assets.common.plain_text import counted
from imgdiff_assets.engine.parents import said_hashes
from imgdiff_assets.home import Home
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.recipe.recorded_recipe import recorded_recipe
from imgdiff_assets.stages.graph import SAMPLES, STAGE_NAMES
from imgdiff_assets.statistics.funnel import StageFunnel
from imgdiff_assets.what_if.groups import scores_by_stages, together
from imgdiff_assets.what_if.judgement import Judgement
from imgdiff_assets.what_if.stored_stage import Fate, StoredStage

LISTED_IDS = 4


@dataclass(frozen=True, slots=True)
class Change:
    """A value of the recipe: those that the tables were made with, and the other one."""

    key: str
    present: tuple[Any, ...]
    other: Any

    def __str__(self) -> str:
        return f"{self.key}: {' or '.join(str(value) for value in self.present)} → {self.other}"


@dataclass(frozen=True, slots=True)
class ToMeasure:
    """Rows for which a measurement has no values; no `roles` means that it needs no model."""

    stage: str
    measurement: str
    roles: tuple[str, ...]
    rows: int

    def __str__(self) -> str:
        by = f"by {' and '.join(self.roles)}" if self.roles else "without a model"
        return f"{self.stage}: {self.measurement}, {counted(self.rows, 'row')}, {by}"


@dataclass(frozen=True, slots=True)
class StageChange:
    """One stage now and then.

    `undecided` rows depend on what is in no score; `unsettled` ones are kept, but depend on rows that may come or go.
    `entering` and `leaving` are ids; of rows not yet in the table, `entering_from` has the
    parents'.
    """

    present: StageFunnel
    then: StageFunnel
    undecided: int
    unsettled: int
    entering: list[str]
    entering_from: list[str]
    leaving: list[str]


@dataclass(frozen=True, slots=True)
class WhatIf:
    """The whole graph now and then."""

    changes: list[Change]
    stages: list[StageChange]
    to_measure: list[ToMeasure]
    notes: list[str]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    def to_text(self) -> str:
        lines = [str(change) for change in self.changes] or ["The tables were made with this recipe: nothing changes."]
        lines += ["", f"{'stage':<17} {'':<22}{'now':>10}{'then':>10}{'change':>10}", "─" * 70]
        lines += [line for stage in self.stages for line in _table_lines(stage)]
        lines.append("")
        lines += [line for stage in self.stages for line in _moving_lines(stage)]
        if self.to_measure:
            lines += ["Would need measuring; what becomes of these rows is in no score yet:"]
            lines += [f"  {item}" for item in self.to_measure]
        lines += [*self.notes, self.summary]
        return "\n".join(lines)

    @property
    def summary(self) -> str:
        """What becomes of the samples, in a sentence."""
        last = next(stage for stage in self.stages if stage.then.stage == SAMPLES)
        samples = f"{last.present.kept:,} → {last.then.kept:,}{_signed(last.then.kept - last.present.kept, ' ({})')}"
        measuring = ", not counting what the rows that need measuring give" if self._undecided() else ""
        return f"Samples: {samples}{measuring}."

    def _undecided(self) -> bool:
        return any(stage.undecided for stage in self.stages)


def what_if(home: Home, recipe: Recipe, shards: Sequence[str]) -> WhatIf:
    """Compare the tables of `shards` with what `recipe` would make of them, from stored scores alone.

    Raises DamagedTable, UnknownOrigin, ShardError.
    """
    groups = scores_by_stages(home, shards)
    judged = [scores.judge(recipe) for scores in groups]
    stages = [
        _together([_compare(*pair) for pair in zip(present, then, strict=True)])
        for present, then in zip(
            zip(*(scores.present() for scores in groups), strict=True), zip(*judged, strict=True), strict=True
        )
        if present[0].stored.stage.settings(recipe) is not None
    ]
    needed = needed_of([judgement for judgements in judged for judgement in judgements])
    stored = [scores.stages for scores in groups]
    return WhatIf(
        _changes([each for stages in stored for each in stages], recipe), stages, needed, _notes(home, stored, stages)
    )


def needed_of(judgements: Sequence[Judgement]) -> list[ToMeasure]:
    """What a run would measure in these stages before anything is known of the rows after; counted by the roles."""
    rows: dict[tuple[str, str, tuple[str, ...]], int] = {}
    for judgement in judgements:
        for item in measurements_needed(judgement):
            key = item.stage, item.measurement, item.roles
            rows[key] = rows.get(key, 0) + item.rows
    order = sorted(rows, key=lambda key: STAGE_NAMES.index(key[0]))
    return [ToMeasure(*key, rows[key]) for key in order]


def measurements_needed(judgement: Judgement) -> list[ToMeasure]:
    """What a run would measure in this stage before anything is known of the rows after."""
    stage = judgement.stored.stage
    roles = {step.name: step.roles for step in stage.measurements}
    return [ToMeasure(stage.name, name, roles[name], rows) for name, rows in judgement.to_measure.items()]


def _compare(present: Judgement, then: Judgement) -> StageChange:
    was, is_kept = present.fates == Fate.KEPT, then.fates == Fate.KEPT
    ids = np.array(then.stored.ids.to_pylist(), dtype=object)
    return StageChange(
        present=present.funnel(),
        then=then.funnel(),
        undecided=then.undecided,
        unsettled=int(np.count_nonzero(then.unsettled & is_kept)),
        entering=ids[is_kept & ~was].tolist(),
        entering_from=then.added_kept,
        leaving=ids[was & ~is_kept & (then.fates != Fate.UNDECIDED)].tolist(),
    )


def _together(changes: Sequence[StageChange]) -> StageChange:
    """One stage over the groups of shards that are judged apart."""
    return StageChange(
        present=together([change.present for change in changes]),
        then=together([change.then for change in changes]),
        undecided=sum(change.undecided for change in changes),
        unsettled=sum(change.unsettled for change in changes),
        entering=[name for change in changes for name in change.entering],
        entering_from=[name for change in changes for name in change.entering_from],
        leaving=[name for change in changes for name in change.leaving],
    )


def _changes(stages: Sequence[StoredStage], recipe: Recipe) -> list[Change]:
    """Where the recipe differs from those that the tables were made with."""
    values = dict(flat(recipe.model_dump(mode="json")))
    found: dict[str, dict[str, Any]] = {}
    for stored in stages:
        for origin in stored.origins:
            made_with = dict(flat(recorded_recipe(recipe, [origin]).model_dump(mode="json")))
            # An installed filter that is off has no settings.
            for key in dict.fromkeys([*made_with, *values]):
                if (value := made_with.get(key)) != values.get(key):
                    found.setdefault(key, {})[str(value)] = value
    return [Change(key, tuple(present.values()), values.get(key)) for key, present in found.items()]


def flat(section: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(key, value) as `--set` writes them; the models' keys without `models`."""
    for name, value in section.items():
        if isinstance(value, dict):
            yield from flat(value, "" if name == "models" else f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _notes(home: Home, groups: Sequence[Sequence[StoredStage]], changes: Sequence[StageChange]) -> list[str]:
    notes = []
    unsettled = [f"{change.unsettled:,} in {change.then.stage}" for change in changes if change.unsettled]
    if unsettled:
        notes.append(
            f"Kept, as far as scores tell, but dependent on rows that may come or go: {', '.join(unsettled)}."
        )
    older: dict[str, int] = {}
    for stages in groups:
        for stored, count in _older(home, stages):
            older[stored.stage.name] = older.get(stored.stage.name, 0) + count
    for name, count in older.items():
        if count:
            notes.append(
                f"{name}: the tables of {counted(count, 'shard')} are older than what they were made from; `imgdiff "
                "run` brings them in step, and makes this exact."
            )
    return notes


def _older(home: Home, stages: Sequence[StoredStage]) -> Iterator[tuple[StoredStage, int]]:
    """By stage, how many tables are older than what they were made from."""
    by_name = {stored.stage.name: stored for stored in stages}
    for stored in stages[1:]:
        older = 0
        for shard, record in stored.records.items():
            names = (*stored.stage.tables, *stored.stage.also)
            hashes = {name: by_name[name].records.get(shard, {}).get("output_hash") for name in names}
            said = said_hashes(stored.stage, home, shard)
            # Of which recipe the table is, and so of which optional parents, its hash tells.
            without = {name: hashes[name] for name in stored.stage.tables}
            older += record["inputs_hash"] not in (content_hash({**hashes, **said}), content_hash({**without, **said}))
        yield stored, older


def _table_lines(change: StageChange) -> list[str]:
    """The stage's counts; of a stage where none differs, the kept rows alone."""
    present, then = change.present, change.then
    counts = [("kept", present.kept, then.kept)]
    counts += [(name, present.rejected.get(name, 0), count) for name, count in then.rejected.items()]
    for kind in {**present.errors, **then.errors}:
        counts.append((f"error {kind}", present.errors.get(kind, 0), then.errors.get(kind, 0)))
    counts += [("parent rejected", present.upstream, then.upstream), ("undecided", 0, change.undecided)]
    moved = any(before != after for _, before, after in counts)
    lines = []
    for name, before, after in counts:
        if name == "kept" or (moved and (before or after)):
            stage = present.stage if name == "kept" else ""
            lines.append(f"{stage:<17} {name:<22}{before:>10,}{after:>10,}{_signed(after - before):>10}".rstrip())
    return lines


def _moving_lines(change: StageChange) -> list[str]:
    lines = []
    new = [f"a new row of {parent}" for parent in change.entering_from]
    for verb, ids in (("enter", [*change.entering, *new]), ("leave", change.leaving)):
        if ids:
            more = f" and {len(ids) - LISTED_IDS:,} more" if len(ids) > LISTED_IDS else ""
            lines.append(f"{change.present.stage}: {len(ids):,} would {verb}: {', '.join(ids[:LISTED_IDS])}{more}")
    return lines


def _signed(difference: int, form: str = "{}") -> str:
    return form.format(f"{difference:+,}") if difference else ""
