"""Which models a run needs: of shards whose pairs were given, none that writes prompts or draws."""

from collections.abc import Sequence

from imgdiff_assets.engine.given_pairs import stage_of_shard
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.shards import has_pairs
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import chosen_stages, stages_of


def needed_roles(home: Home, recipe: Recipe, shards: Sequence[str], select: Sequence[str] = ()) -> frozenset[str]:
    """The roles that the stages `select` (default: all) need over the shards; without shards, over any."""
    chosen = chosen_stages(select or None, recipe)
    stages = [stage for stage in stages_of(recipe) if stage.name in chosen and stage.enabled(recipe)]
    # One shard of each kind stands for all of it.
    kinds = {has_pairs(home, shard): shard for shard in shards}
    over = [[stage_of_shard(stage, home, shard) for stage in stages] for shard in kinds.values()] or [stages]
    return frozenset(role for stages in over for stage in stages for role in stage.roles)
