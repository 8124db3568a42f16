"""The measurer that a recipe's section `workers` means, for as long as a run lasts."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

from imgdiff_assets.common.aliases import Say
from imgdiff_assets.engine.measurer import HERE, Measurer
from imgdiff_assets.engine.workers.crew import Crew
from imgdiff_assets.engine.workers.team import Team
from imgdiff_assets.recipe.worker_settings import LOCAL, NONE, WorkersSettings

PATIENCE = 1_800.0
"""Seconds that Ray has to find a place for the first worker, and that to load its models."""

STRATEGIES = {"pack": "DEFAULT", "spread": "SPREAD"}


@contextmanager
def hired(settings: WorkersSettings, log: Say = lambda text: None) -> Iterator[Measurer]:
    """Workers are started when a measurement first needs them, and are gone when the block ends."""
    if settings.backend == NONE:
        yield HERE
        return

    def crew() -> Crew:
        # Imported here: Ray's and torch's libraries take seconds.
        if settings.backend == LOCAL:
            from imgdiff_assets.engine.workers.local_crew import LocalCrew
            from resources.loading import devices

            return LocalCrew(settings.count or max(devices.cards(), 1))
        from imgdiff_assets.engine.workers.ray_crew import RayCrew

        placement = STRATEGIES[settings.placement]
        return RayCrew(settings.count, settings.address, settings.cpus, settings.gpus, placement)

    # Who waits for a card of this machine waits for another run, which ends.
    team = Team(crew, log, math.inf if settings.backend == LOCAL else PATIENCE)
    try:
        yield team
    finally:
        team.close()
