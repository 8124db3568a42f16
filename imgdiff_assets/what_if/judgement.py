"""What another recipe would keep: the steps of every stage walked again over the stored scores, without a model.

Each row of the ledger gets a new verdict. A row that reaches a measurement for which it has no values would need
measuring: its fate, and that of all that is made of it, is undecided, unless no filter follows. As the steps of a
stage compare rows of one parent at most, only what the recipe or a parent's new verdict touches is judged again.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from imgdiff_assets.common.aliases import Booleans, Integers, Row
from imgdiff_assets.common.tables import columns_of_rows, columns_of_table, scattered, values_of
from imgdiff_assets.engine.given_pairs import stage_of_shard
from imgdiff_assets.engine.plan import StagePlan, is_given, plan_stage
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.shards import CAPTIONS, PICTURES, held_by, read_captions
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import STAGES, line
from imgdiff_assets.stages.stage import CAPTION_FILE, ERROR_PREFIX, Stage
from imgdiff_assets.stages.steps import Derivation, Filter, Measurement
from imgdiff_assets.statistics.funnel import StageFunnel
from imgdiff_assets.what_if.stored_stage import Fate, StoredStage


@dataclass(slots=True)
class Judgement:
    """The new fates of a stage's stored rows, and of rows that a run would add.

    `remade` are kept rows whose values would be measured anew; `waiting` rows are undecided, but in the table whatever
    becomes of them. The fate of `unsettled` rows may be another: they depend on rows that may come or go, or are
    rejected and would not keep what was measured of them. Of added rows the parent's id is known: `added_kept`,
    `added_undecided`.
    `to_measure` counts rows by measurement (of one that makes several rows of one: the rows it starts from).
    """

    stored: StoredStage
    fates: Integers
    remade: Booleans
    unsettled: Booleans
    waiting: Booleans
    added_kept: list[str] = field(default_factory=list)
    added_undecided: list[str] = field(default_factory=list)
    added_rejected: list[str] = field(default_factory=list)
    to_measure: dict[str, int] = field(default_factory=dict)

    @property
    def kept(self) -> int:
        return int(np.count_nonzero(self.fates == Fate.KEPT)) + len(self.added_kept)

    @property
    def undecided(self) -> int:
        return int(np.count_nonzero(self.fates == Fate.UNDECIDED)) + len(self.added_undecided)

    def funnel(self) -> StageFunnel:
        """The stage counted as `statistics.funnel` counts tables; undecided rows are among `rows` only."""
        stored, fates = self.stored, self.fates
        candidates = (fates != Fate.UPSTREAM) & (fates != Fate.GONE)
        counts = np.bincount(fates, minlength=len(Fate) + len(stored.reasons))[len(Fate) :]
        by_reason = dict(zip(stored.reasons, counts.tolist(), strict=True))
        for reason in self.added_rejected:
            by_reason[reason] += 1
        filters = {step.name for step in stored.stage.filters if not stored.stage.is_optional(step)}
        added = len(self.added_kept) + len(self.added_undecided) + len(self.added_rejected)
        return StageFunnel(
            stage=stored.stage.name,
            shards=len(stored.records),
            rows_in=int(np.count_nonzero(np.bincount(stored.families[candidates] + 1)))
            + (added if stored.parents else 0),
            rows=int(np.count_nonzero(candidates)) + added,
            kept=self.kept,
            upstream=int(np.count_nonzero(fates == Fate.UPSTREAM)),
            rejected={
                name: count
                for name, count in by_reason.items()
                if name in filters or (count and not name.startswith(ERROR_PREFIX))
            },
            errors={
                name.removeprefix(ERROR_PREFIX): count
                for name, count in by_reason.items()
                if count and name.startswith(ERROR_PREFIX)
            },
        )


class StoredScores:
    """The tables of some shards, ready to be judged by one recipe after another; all are of pictures, or none is.

    Raises DamagedTable, ShardError.
    """

    def __init__(self, home: Home, shards: Sequence[str]) -> None:
        self._home, self._shards = home, shards
        self.stages: list[StoredStage] = []
        self._held = held_by(home, shards[0]) if shards else CAPTIONS
        for stage in STAGES:
            if self._held == PICTURES:
                stage = stage_of_shard(stage, home, shards[0])
            above = {origin.table for origin in stage.above}
            parents = [other for other in self.stages if other.stage.name in above]
            self.stages.append(StoredStage(Ledger(home.ledger), stage, shards, parents))

    def present(self) -> list[Judgement]:
        """The verdicts as they are."""
        return [_as_it_is(stored) for stored in self.stages]

    def judge(self, recipe: Recipe, before: Sequence[Judgement] = ()) -> list[Judgement]:
        """The verdicts that a run with this recipe would give. Raises UnknownOrigin.

        `before` are those of the first stages, where the recipe is no other for them.
        """
        judgements: list[Judgement] = [*before]
        for stored in self.stages[len(before) :]:
            if stored.stage.settings(recipe) is None:
                judgements.append(_as_it_is(stored))
            elif stored.parents:
                parents = [judgements[self.stages.index(parent)] for parent in stored.parents]
                judgements.append(_judge_next(stored, recipe, parents))
                _unsettle(judgements[-1], judgements, recipe)
            else:
                judgements.append(self._judge_first(stored, recipe))
        return judgements

    def _judge_first(self, stored: StoredStage, recipe: Recipe) -> Judgement:
        """The first stage: its items are the captions, as often as the recipe asks."""
        stage = stored.stage.under(recipe)
        result = Judgement(stored, stored.fates.copy(), _none(stored), _none(stored), _none(stored))
        plan = plan_stage(stage, recipe, None)
        judged_alike = [plan.judged_alike(origin) for origin in stored.origins]
        outdated = [plan.outdated(origin) for origin in stored.origins]
        touched = stored.where([not alike or bool(steps) for alike, steps in zip(judged_alike, outdated, strict=True)])
        added: list[Row] = []
        if not all(judged_alike):
            gone, items = self._compare_items(stored, recipe)
            result.fates[gone] = Fate.GONE
            touched &= ~gone
            added = _pass_first_filters(stage, items, recipe, result)
        result.added_undecided = [row["caption_id"] for row in added]
        if added:
            # Attempts of one caption are compared.
            result.unsettled = np.isin(stored.columns(["caption_id"])["caption_id"], result.added_undecided)
        _walk(result, recipe, plan, outdated, np.flatnonzero(touched), _none(stored), len(added))
        return result

    def _compare_items(self, stored: StoredStage, recipe: Recipe) -> tuple[Booleans, list[Row]]:
        """Rows that are no items of this recipe, and items that are no rows; of captions that have been run."""
        keys = [column.name for column in stored.stage.item_columns]
        columns = stored.columns(keys)
        rows = list(zip(*(columns[name].tolist() for name in keys), strict=True))
        settings = stored.stage.values(recipe, stored.stage.item_settings)
        run = set(columns["caption_id"].tolist())
        items = dict.fromkeys(
            item
            for shard in self._shards
            if held_by(self._home, shard) in (CAPTIONS, PICTURES)
            for item in _tuples(stored.stage.items({CAPTION_FILE: read_captions(self._home, shard)}, settings), keys)
        )
        known = set(rows)
        drawn = stored.where([not is_given(stored.stage, origin) for origin in stored.origins])
        gone = np.array([row not in items for row in rows], dtype=bool) & drawn
        added = [dict(zip(keys, item, strict=True)) for item in items if item not in known]
        return gone, [item for item in added if item["caption_id"] in run]


def _tuples(table: pa.Table, names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """The rows of some columns, as `StoredStage.columns` has their values."""
    return zip(*(values_of(table[name]) for name in names), strict=True)


def _judge_next(stored: StoredStage, recipe: Recipe, parents: Sequence[Judgement]) -> Judgement:
    """A later stage: a row whose parent leaves is set aside, one whose parent comes back is judged again."""
    stage = stored.stage.under(recipe)
    first = stage.measurements[0]
    result = Judgement(stored, stored.fates.copy(), _none(stored), _none(stored), _none(stored))
    above = _fates_above(stage, recipe, parents)
    # A row without a parent has position -1, and reads the entry that is appended.
    parent_fates = np.append(above, Fate.GONE)[stored.parent_rows]
    remade = np.concatenate([*(parent.remade for parent in parents), [False]])[stored.parent_rows]
    result.unsettled = np.concatenate([*(parent.unsettled for parent in parents), [False]])[stored.parent_rows]
    plan = plan_stage(stage, recipe, None)
    outdated = [plan.outdated(origin) for origin in stored.origins]
    remembered = stored.measured[first.name] & ~stored.where([first.name in steps for steps in outdated])
    rejected = _rejected(parent_fates)
    result.fates[rejected] = np.where(remembered, Fate.UPSTREAM, Fate.GONE)[rejected]
    result.fates[parent_fates == Fate.GONE] = Fate.GONE
    result.fates[parent_fates == Fate.UNDECIDED] = Fate.UNDECIDED
    others = stored.where([plan.other_items(origin) for origin in stored.origins])
    if not isinstance(stage.steps[0], Measurement):
        # They are judged by what the row above was measured to have.
        others |= remade
    result.fates[others] = Fate.UNDECIDED
    touched = stored.where(
        [not plan.judged_alike(origin) or bool(steps) for origin, steps in zip(stored.origins, outdated, strict=True)]
    )
    for name in plan.read_by_some:
        touched |= (stored.fates == Fate.KEPT) & ~stored.measured[name]
    touched |= (stored.fates == Fate.UPSTREAM) | remade
    if _compares_shards(stage):
        touched |= _with_their_shards(stored, touched | (result.fates != stored.fates))
    starting = _starting(stored, recipe, parents, above)
    if stage.of_rejected is not None:
        result.unsettled |= np.isin(stored.compared, parents[0].stored.families[starting])
    ids = pa.chunked_array([chunk for parent in parents for chunk in parent.stored.ids.chunks], pa.string())
    added = ids.filter(pa.array(starting)).to_pylist()
    if stage.enabled(recipe):
        added += [identity for parent in parents for identity in parent.added_kept]
    if stage.filters:
        result.added_undecided = added
    else:
        result.added_kept = added
    alive = np.flatnonzero(touched & ~others & (parent_fates == Fate.KEPT))
    _walk(result, recipe, plan, outdated, alive, remade, len(added))
    if _compares_shards(stage):
        # Of what is added the shard is not known.
        doubtful = (result.fates == Fate.UNDECIDED) | result.unsettled | bool(added)
        result.unsettled |= _with_their_shards(stored, doubtful)
    return result


def _compares_shards(stage: Stage) -> bool:
    """Whether a verdict may depend on any row of the shard."""
    return any(isinstance(step, Derivation) and step.of_shard for step in stage.steps)


def _with_their_shards(stored: StoredStage, rows: Booleans) -> Booleans:
    """The rows of those shards that any of `rows` is in."""
    shards = stored.shards.to_numpy()
    return np.isin(shards, shards[rows])


def _by_shard(stored: StoredStage, rows: Integers) -> Iterator[Integers]:
    """Positions of rows, shard by shard."""
    shards = stored.shards.to_numpy()[rows]
    for shard in dict.fromkeys(shards.tolist()):
        yield rows[shards == shard]


def _unsettle(result: Judgement, judgements: Sequence[Judgement], recipe: Recipe) -> None:
    """Some rows depend on more than the row above."""
    settings = result.stored.stage.settings(recipe)
    for beside in result.stored.stage.beside:
        if not beside.wanted(settings):
            continue
        *before, table = [one for one in judgements if one.stored.stage.name in line(beside.table)]
        was_kept, is_kept = (fates == Fate.KEPT for fates in (table.stored.fates, table.fates))
        if any(_moves(one) for one in (*before, table)) or (beside.kept and (was_kept != is_kept).any()):
            result.unsettled |= result.stored.having(beside.column, beside.values)


def _moves(judgement: Judgement) -> bool:
    """Whether rows would come or go, or may."""
    gone = judgement.fates == Fate.GONE
    return bool(judgement.undecided or judgement.added_kept or gone.any() or judgement.unsettled.any())


def _starting(stored: StoredStage, recipe: Recipe, parents: Sequence[Judgement], above: Integers) -> Booleans:
    """Of which rows above, with these fates, rows would be made that are not in the table."""
    starting: Booleans = above == Fate.KEPT
    if stored.stage.one_each(stored.stage.settings(recipe)):
        starting[stored.parent_rows[stored.parent_rows >= 0]] = False
        return starting
    # How many rows are made of one, and whether any, is seen where it was kept when the table was made.
    were = _fates_above(stored.stage, recipe, [_as_it_is(parent.stored) for parent in parents])
    made = [np.isin(parent.stored.shards.to_numpy(), [*stored.records]) for parent in parents]
    starting &= ~((were == Fate.KEPT) & np.concatenate(made))
    return starting


def _fates_above(stage: Stage, recipe: Recipe, parents: Sequence[Judgement]) -> Integers:
    """What becomes of the rows of the stages before, as far as it decides which of them are items of this one."""
    return np.concatenate([_fates_as_parents(stage, recipe, parent) for parent in parents])


def _fates_as_parents(stage: Stage, recipe: Recipe, parent: Judgement) -> Integers:
    if not stage.enabled(recipe):
        return np.full(len(parent.fates), Fate.UPSTREAM)
    if parent.stored.stage.settings(recipe) is None:
        return np.full(len(parent.fates), Fate.GONE)
    origin = next(origin for origin in stage.above if origin.table == parent.stored.stage.name)
    if origin.rejected_by is not None:
        if not origin.wanted(stage.settings(recipe)):
            return np.full(len(parent.fates), Fate.GONE)
        named = parent.fates == parent.stored.fate(origin.rejected_by)
        return np.where(named, Fate.KEPT, np.where(parent.fates == Fate.UNDECIDED, Fate.UNDECIDED, Fate.GONE))
    if stage.of_rejected is None:
        return parent.fates
    fates = np.where((parent.fates >= len(Fate)) | parent.waiting, Fate.KEPT, parent.fates)
    for reason in stage.of_rejected:
        fates[parent.fates == parent.stored.fate(reason)] = Fate.GONE
    return fates


def _walk(
    result: Judgement,
    recipe: Recipe,
    plan: StagePlan,
    outdated: Sequence[Collection[str]],
    alive: Integers,
    remade: Booleans,
    added: int,
) -> None:
    """Take the rows at the positions `alive` through the steps; `added` more join them at the first measurement.

    What was measured does not count for the steps that are `outdated`, by origin, and for `remade` rows.
    """
    stored = result.stored
    stage, settings = stored.stage.under(recipe), stored.stage.settings(recipe)
    scores: Mapping[str, Any] = stored.scores(stage) if len(alive) else {}
    for step in stage.steps:
        if isinstance(step, Measurement):
            if step.name in plan.unread:
                continue
            valid = ~remade & ~stored.where([step.name in steps for steps in outdated])
            known = (stored.measured[step.name] & valid)[alive] & ~_asked_of_others(step, stored, scores, alive)
            # What failed before is tried again by any run, and most likely fails again.
            failed = (stored.failed & valid)[alive] & ~known
            waiting = alive[~known & ~failed]
            count = len(np.unique(stored.families[waiting])) if step.expands else len(waiting)
            count += added if step is stage.measurements[0] else 0
            if count:
                result.to_measure[step.name] = count
            if _filters_after(stage, step):
                result.fates[waiting] = Fate.UNDECIDED
                alive = alive[known]
                result.unsettled[alive] |= np.isin(stored.compared[alive], stored.compared[waiting])
                result.waiting[waiting] = step is not stage.measurements[0]
            else:
                result.remade[waiting] = True
                alive = alive[~failed]
        elif len(alive) == 0:
            continue
        elif isinstance(step, Derivation):
            name = step.column.name
            column = pa.chunked_array([pa.nulls(len(stored), step.column.type)])
            for rows in _by_shard(stored, alive) if step.of_shard else [alive]:
                values = step.compute({name: scores[name][rows] for name in step.reads}, step.own(settings))
                column = pc.coalesce(scattered(values, rows, len(stored), step.column.type), column)
            scores = {**scores, **columns_of_table(pa.table({name: column}), [name])}
        else:
            passes = step.judge({name: scores[name][alive] for name in step.reads}, settings)
            result.fates[alive[~passes]] = stored.fate(step.name)
            alive = alive[passes]
    result.fates[alive] = Fate.KEPT
    for name, measured in stored.measured.items():
        # What a rejected row is not measured to have again, it loses: its id may be of that, or what is made of it.
        lost = measured & stored.where([name in steps for steps in outdated])
        result.unsettled |= lost & _rejected(result.fates)


def _asked_of_others(step: Measurement, stored: StoredStage, scores: Mapping[str, Any], alive: Integers) -> Booleans:
    """Which rows a measurement would be handed with other derived values than those that it was made with."""
    names = [each.column.name for each in stored.stage.steps if isinstance(each, Derivation)]
    names = [name for name in names if name in step.inputs] if len(alive) else []
    before, other = stored.columns(names), np.zeros(len(alive), dtype=bool)
    for name in names:
        other |= np.asarray(scores[name][alive] != before[name][alive], dtype=bool)
    return other


def _rejected(fates: Integers) -> Booleans:
    """Rows that a filter rejects, here or above."""
    return np.asarray((fates >= len(Fate)) | (fates == Fate.UPSTREAM), dtype=bool)


def _pass_first_filters(stage: Stage, rows: list[Row], recipe: Recipe, result: Judgement) -> list[Row]:
    """Those of the added rows that pass the filters before the first measurement."""
    for step in stage.steps:
        if not isinstance(step, Filter):
            break
        passes = step.judge(columns_of_rows(rows, step.reads), stage.settings(recipe))
        result.added_rejected += [step.name for passed in passes if not passed]
        rows = [row for row, passed in zip(rows, passes, strict=True) if passed]
    return rows


def _filters_after(stage: Stage, step: Measurement) -> bool:
    return any(isinstance(other, Filter) for other in stage.steps[stage.steps.index(step) :])


def _as_it_is(stored: StoredStage) -> Judgement:
    return Judgement(stored, stored.fates, _none(stored), _none(stored), _none(stored))


def _none(stored: StoredStage) -> Booleans:
    return np.zeros(len(stored), dtype=bool)
