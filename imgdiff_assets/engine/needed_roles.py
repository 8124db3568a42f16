"""Which models a run needs: over given pairs none that writes prompts or draws, over pictures an editor."""

from collections.abc import Sequence

from imgdiff_assets.engine.given_pairs import stage_of_shard
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.shards import held_by
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import chosen_stages, stages_of


def needed_roles(home: Home, recipe: Recipe, shards: Sequence[str], select: Sequence[str] = ()) -> frozenset[str]:
    """The roles that the stages `select` (default: all) need over the shards; without shards, over any."""
    chosen = chosen_stages(select or None, recipe)
    stages = [stage for stage in stages_of(recipe) if stage.name in chosen and stage.enabled(recipe)]
    # One shard of each kind stands for all of it.
    kinds = {held_by(home, shard): shard for shard in shards}
    over = [[stage_of_shard(stage, home, shard) for stage in stages] for shard in kinds.values()] or [stages]
    return frozenset(role for stages in over for stage in stages for role in stage.roles)
