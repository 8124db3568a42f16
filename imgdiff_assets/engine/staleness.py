"""Which tables a recipe would change: read from footers alone, each once, and not at all where nothing has changed."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from imgdiff_assets.common.hashing import content_hash
from imgdiff_assets.engine.given_pairs import GIVEN, stage_held
from imgdiff_assets.engine.loaded_models import LoadedModels
from imgdiff_assets.engine.looks import Look, Looks, look
from imgdiff_assets.engine.parents import MissingInput, read_inputs, said_hashes
from imgdiff_assets.engine.plan import StagePlan, TablePlan, is_given, plan_stage, plan_table
from imgdiff_assets.engine.versions import Versions
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.shards import held_by
from imgdiff_assets.ledger.places import PARTS
from imgdiff_assets.ledger.seen import SeenLedger
from imgdiff_assets.ledger.store.entry import StoreError
from imgdiff_assets.ledger.store.store import store_of
from imgdiff_assets.recipe.editions import RELEASE
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import STAGE_NAMES, stages_of
from imgdiff_assets.stages.stage import Stage


class Staleness:
    """Compares the tables of some stages with what one recipe and its models would make.

    With `again`, tables are stale in which rows were left as an earlier release had measured them.
    """

    def __init__(self, home: Home, recipe: Recipe, select: Sequence[str], again: bool = False) -> None:
        self._stages = [stage for stage in stages_of(recipe) if stage.name in select]
        self._home, self._recipe, self._again = home, recipe, again
        self._ledger = SeenLedger(home.ledger)
        self._models = LoadedModels(recipe.roles, {})
        self._how: dict[tuple[str, tuple[str, ...]], StagePlan] = {}
        self._hashes: dict[str, str] = {}
        self._looks: Looks | None = None
        self._versions: Versions | None = None
        self.fresh_records: list[Mapping[str, Any]] = []
        """The records of the tables that were found fresh."""
        self.changed: dict[str, set[str]] = {}
        """How the others were made otherwise than the recipe says: see `imgdiff_assets.engine.changed_values`."""

        self.renewed: list[TablePlan] = []
        """Of the tables that were looked at, those that this release would measure otherwise."""

    @contextmanager
    def looking(self) -> Iterator[None]:
        """For questions about many shards: what is asked in the block may be answered as of its beginning.

        What `stages` found fresh at an earlier look, and of which no file has changed, is not read again.
        """
        with store_of(self._home.root).looking(self._home.root, PARTS):
            self._looks = Looks(self._home)
            of_stages = (name for stage in self._stages for name in (stage.name, *stage.tables))
            self._versions = Versions(self._home, list(dict.fromkeys([*STAGE_NAMES, *of_stages])))
            try:
                yield
            finally:
                self._looks.keep()
                self._looks = self._versions = None

    def plans(self, shard: str) -> list[TablePlan]:
        """What is to be done with each table of a shard. Raises FileNotFoundError when a model's weights are missing.

        A stage after a stale one is stale, for its input may change.
        """
        stale: set[str] = set()
        plans = []
        self._ledger.look_anew()
        for stage in self._of_shard(shard):
            plan = self._plan(stage, shard, bool(stale & set(stage.parents)))
            if plan.fresh:
                self.fresh_records.append(plan.record or {})
            else:
                stale.add(stage.name)
                if plan.record is not None and not is_given(plan.how.stage, plan.record):
                    for change in plan.how.changes(plan.record):
                        self.changed.setdefault(change, set()).add(shard)
            if plan.renewed:
                self.renewed.append(plan)
            plans.append(plan)
        return plans

    def stages(self, shard: str, retry: bool = False) -> list[str]:
        """The stages whose table is to be made again; with `retry`, also where failed rows had all their tries."""
        stale: list[str] = []
        known = self._looks.of(shard) if self._looks is not None and not retry else None
        seen = self._seen(shard)
        if known is not None and (known.seen, known.how) == (seen, self._hash(known.holds)):
            self.fresh_records += known.told()
            return []
        plans = self.plans(shard)
        for plan in plans:
            stage = plan.how.stage
            if not plan.fresh or (retry and (plan.retries or set(stage.parents) & set(stale))):
                stale.append(stage.name)
        if self._looks is not None:
            self._looks.remember(shard, self._found(shard, seen, plans))
        return stale

    def _found(self, shard: str, seen: str, plans: Sequence[TablePlan]) -> Look | None:
        """What may be remembered of a shard, whose files were `seen` before it was looked at."""
        if not seen or not plans or not all(plan.fresh and not plan.renewed for plan in plans):
            return None
        holds = held_by(self._home, shard)
        return look(holds, seen, self._hash(holds), (plan.record or {} for plan in plans))

    def _seen(self, shard: str) -> str:
        """Another whenever a file of the shard is, or what people say of it; empty while a run is in the middle."""
        files = self._versions.of(shard) if self._versions is not None else []
        said = [said_hashes(stage, self._home, shard) for stage in self._stages]
        return content_hash(files, said) if files else ""

    def looked(self, shards: Sequence[str]) -> str:
        """Within `looking`: another whenever there may be something new of these shards; empty unless all are fresh.

        What was written just now is not known as fresh yet.
        """
        return self._looks.hash(shards) if self._looks is not None else ""

    def _hash(self, holds: str) -> str:
        """Another whenever this release or the recipe would make tables of such shards otherwise."""
        if holds not in self._hashes:
            plans = [self._planned(stage_held(stage, holds)) for stage in self._stages]
            made = [
                [
                    *(how.stage.name, how.stage.code_version, how.stage.schema.names, sorted(how.hashes)),
                    *(how.seed, how.models, how.item_versions, how.max_tries, how.max_error_share),
                ]
                for how in plans
            ]
            self._hashes[holds] = content_hash(RELEASE, self._again, made)
        return self._hashes[holds]

    def unusable(self, shard: str) -> list[str]:
        """The stages whose table is not what the recipe makes, failed rows that wait for another try aside."""
        unusable: list[str] = []
        self._ledger.look_anew()
        for stage in self._of_shard(shard):
            if not self._plan(stage, shard, bool(set(unusable) & set(stage.parents))).usable:
                unusable.append(stage.name)
        return unusable

    def _of_shard(self, shard: str) -> list[Stage]:
        """The stages as they are run on this shard, what it holds being asked once. Raises ShardError."""
        if not any(stage.name in GIVEN for stage in self._stages):
            return list(self._stages)
        holds = held_by(self._home, shard)
        return [stage_held(stage, holds) for stage in self._stages]

    def _planned(self, stage: Stage) -> StagePlan:
        key = stage.name, stage.roles
        if key not in self._how:
            self._how[key] = plan_stage(stage, self._recipe, self._models)
        return self._how[key]

    def _plan(self, stage: Stage, shard: str, parent_is_stale: bool) -> TablePlan:
        how = self._planned(stage)
        try:
            inputs = read_inputs(stage, self._home, shard, self._ledger).hash
        except StoreError:
            raise
        except (MissingInput, OSError):
            inputs = None
        return plan_table(how, self._ledger, shard, inputs, parent_is_stale, self._again)
