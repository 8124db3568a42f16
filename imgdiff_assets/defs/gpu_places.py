"""How many runs may measure at once: as many as the machine has cards, each of which one run has to itself."""

import dagster as dg

from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.recipe.worker_settings import NONE
from resources.loading import devices

POOL = "gpu"


def set_places(instance: dg.DagsterInstance, recipe: Recipe) -> int:
    """Give Dagster's pool as many places as there are cards, and at least one; returns how many.

    Where a run's workers share the cards, there is one: a second run would wait for the first one's.
    """
    places = max(devices.cards(), 1) if recipe.workers.backend == NONE else 1
    instance.event_log_storage.set_concurrency_slots(POOL, places)
    return places
