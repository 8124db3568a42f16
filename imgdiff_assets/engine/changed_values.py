"""Which values of a recipe are not those that tables were made with: `--set` tells one run, the next takes it back."""

from collections.abc import Iterable, Mapping, Sequence

from imgdiff_assets.common.plain_text import counted, listed
from imgdiff_assets.engine.given_pairs import stage_of_shard
from imgdiff_assets.engine.plan import StagePlan, is_given, plan_stage, recorded
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.recipe.overrides import key_path
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import stages_of

LISTED_CHANGES = 12
Changed = Mapping[str, set[str]]
"""The shards whose tables were made otherwise, by what was otherwise: `filtered_pairs.min_similarity: 0.8 → 0.9`."""


def changed_values(home: Home, recipe: Recipe, shards: Iterable[str]) -> Changed:
    """How the tables of the shards were made otherwise than the recipe says; weights are not looked at."""
    ledger = Ledger(home.ledger)
    plans: dict[tuple[str, tuple[str, ...]], StagePlan] = {}
    found: dict[str, set[str]] = {}
    for shard in shards:
        for stage in (stage_of_shard(stage, home, shard) for stage in stages_of(recipe)):
            record = recorded(ledger, stage, shard)
            if record is None or is_given(stage, record):
                continue
            key = stage.name, stage.roles
            if key not in plans:
                plans[key] = plan_stage(stage, recipe, None)
            for change in plans[key].changes(record):
                found.setdefault(change, set()).add(shard)
    return found


def changed_text(changed: Changed, told: Sequence[str] = ()) -> list[str]:
    """A line for each change, but for values that `told` (`section.key=value`) gives on purpose."""
    keys = {".".join(key_path(override.partition("=")[0])).removeprefix("models.") for override in told}
    lines = [
        f"  {change} ({counted(len(shards), 'shard')})"
        for change, shards in changed.items()
        if change.partition(": ")[0] not in keys
    ]
    return listed(lines, LISTED_CHANGES)
