"""The project's home as a Dagster resource, which also tells that its run is alive."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import dagster as dg

from imgdiff_assets.defs.runs_in_progress import alive, stoppable
from imgdiff_assets.home import Home

SAMPLES_ROOT = "/samples"
"""Where the pages of samples are behind the door of `imgdiff ui`, which shows what materialisations link to."""


@dataclass(frozen=True, slots=True)
class PlacedHome:
    """Where the ledger and the catalog are, and where people look at them: `browser_url`, or nothing for no links."""

    home: Home
    browser_url: str


def home_resource(home: Home, browser_url: str) -> dg.ResourceDefinition:
    """The resource of a home, which lives as long as its run's process; a launchpad cannot name another."""

    def hold(context: dg.InitResourceContext) -> Iterator[PlacedHome]:
        with ExitStack() as stack:
            if context.run is not None:
                stack.enter_context(alive(home, context.run.run_id))
            if context.run is not None and context.instance is not None:
                stack.enter_context(stoppable(context.instance, context.run.run_id))
            yield PlacedHome(home, browser_url)

    return dg.ResourceDefinition(hold, description=f"The home {home.root}, which a run tells that it is alive.")
