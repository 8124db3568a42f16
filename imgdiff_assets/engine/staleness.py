"""Which tables a recipe would change: read from footers alone, so that a thousand shards take seconds."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from imgdiff_assets.engine.given_pairs import stage_of_shard
from imgdiff_assets.engine.loaded_models import LoadedModels
from imgdiff_assets.engine.parents import MissingInput, read_inputs
from imgdiff_assets.engine.record import fresh_record, settings_hash
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import STAGES
from imgdiff_assets.stages.stage import Stage


class Staleness:
    """Compares the tables of some stages with what one recipe and its models would make."""

    def __init__(self, home: Home, recipe: Recipe, select: Sequence[str]) -> None:
        self._stages = [stage for stage in STAGES if stage.name in select]
        self._home = home
        self._ledger = Ledger(home.ledger)
        roles = type(recipe.models).model_fields
        self._recipe = recipe
        self._models = LoadedModels({role: getattr(recipe.models, role) for role in roles}, {})
        self._settings: dict[tuple[str, tuple[str, ...]], str] = {}
        self.fresh_records: list[dict[str, Any]] = []
        """The records of the tables that `stages` found fresh."""

    def stages(self, shard: str) -> list[str]:
        """The stages whose table is missing, damaged, failed in part, or made from something else.

        A stage after a stale one is stale, for its input may change. Raises FileNotFoundError when the weights of a
        model are missing.
        """
        stale: list[str] = []
        for stage in self._stages:
            if set(stage.parents) & set(stale) or not self._fresh(stage, shard):
                stale.append(stage.name)
        return stale

    def _settings_hash(self, stage: Stage) -> str:
        key = stage.name, stage.roles
        if key not in self._settings:
            self._settings[key] = settings_hash(stage, self._recipe, self._models)
        return self._settings[key]

    def _fresh(self, stage: Stage, shard: str) -> bool:
        stage = stage_of_shard(stage, self._home, shard)
        settings = self._settings_hash(stage)
        try:
            inputs = read_inputs(stage, self._home, shard)
        except (MissingInput, pa.ArrowException, OSError):
            return False
        record = fresh_record(self._ledger, stage, shard, settings, inputs.hash)
        if record is not None:
            self.fresh_records.append(record)
        return record is not None
