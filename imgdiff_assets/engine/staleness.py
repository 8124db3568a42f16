"""Which tables a recipe would change: read from footers alone, so that a thousand shards take seconds."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from imgdiff_assets.engine.given_pairs import stage_of_shard
from imgdiff_assets.engine.loaded_models import LoadedModels
from imgdiff_assets.engine.parents import MissingInput, read_inputs
from imgdiff_assets.engine.plan import StagePlan, TablePlan, is_given, plan_stage, plan_table
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.places import PARTS
from imgdiff_assets.ledger.store.entry import StoreError
from imgdiff_assets.ledger.store.store import store_of
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import stages_of
from imgdiff_assets.stages.stage import Stage


class Staleness:
    """Compares the tables of some stages with what one recipe and its models would make.

    With `again`, tables are stale in which rows were left as an earlier release had measured them.
    """

    def __init__(self, home: Home, recipe: Recipe, select: Sequence[str], again: bool = False) -> None:
        self._stages = [stage for stage in stages_of(recipe) if stage.name in select]
        self._home, self._recipe, self._again = home, recipe, again
        self._ledger = Ledger(home.ledger)
        self._models = LoadedModels(recipe.roles, {})
        self._how: dict[tuple[str, tuple[str, ...]], StagePlan] = {}
        self.fresh_records: list[Mapping[str, Any]] = []
        """The records of the tables that were found fresh."""
        self.changed: dict[str, set[str]] = {}
        """How the others were made otherwise than the recipe says: see `imgdiff_assets.engine.changed_values`."""

        self.renewed: list[TablePlan] = []
        """Of the tables that were looked at, those that this release would measure otherwise."""

    def looking(self) -> AbstractContextManager[None]:
        """For questions about many shards: what is asked in the block may be answered as of its beginning."""
        return store_of(self._home.root).looking(self._home.root, PARTS)

    def plans(self, shard: str) -> list[TablePlan]:
        """What is to be done with each table of a shard. Raises FileNotFoundError when a model's weights are missing.

        A stage after a stale one is stale, for its input may change.
        """
        stale: set[str] = set()
        plans = []
        for stage in self._stages:
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
        for plan in self.plans(shard):
            stage = plan.how.stage
            if not plan.fresh or (retry and (plan.retries or set(stage.parents) & set(stale))):
                stale.append(stage.name)
        return stale

    def unusable(self, shard: str) -> list[str]:
        """The stages whose table is not what the recipe makes, failed rows that wait for another try aside."""
        unusable: list[str] = []
        for stage in self._stages:
            if not self._plan(stage, shard, bool(set(unusable) & set(stage.parents))).usable:
                unusable.append(stage.name)
        return unusable

    def _plan(self, stage: Stage, shard: str, parent_is_stale: bool) -> TablePlan:
        stage = stage_of_shard(stage, self._home, shard)
        key = stage.name, stage.roles
        if key not in self._how:
            self._how[key] = plan_stage(stage, self._recipe, self._models)
        try:
            inputs = read_inputs(stage, self._home, shard).hash
        except StoreError:
            raise
        except (MissingInput, OSError):
            inputs = None
        return plan_table(self._how[key], self._ledger, shard, inputs, parent_is_stale, self._again)
