"""The project's home as a Dagster resource, which also tells that its run is alive."""

from collections.abc import Generator
from contextlib import ExitStack, contextmanager

import dagster as dg
from pydantic import Field

from imgdiff_assets.common.addresses import address
from imgdiff_assets.defs.runs_in_progress import alive, stoppable
from imgdiff_assets.home import Home

SAMPLES_ROOT = "/samples"
"""Where the pages of samples are behind the door of `imgdiff ui`, which shows what materialisations link to."""


class HomeResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Where the ledger and the catalog are, and where people look at them."""

    root: str = Field(description="The folder, or the place in a bucket, that IMGDIFF_HOME names.")
    browser_url: str = Field(
        SAMPLES_ROOT,
        description="Where the pages of samples are; materialisations link to them. IMGDIFF_BROWSER_URL names another "
        "place than `imgdiff ui` has them.",
    )

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Generator["HomeResource", None, None]:
        """The resource lives as long as its run's process works on it."""
        with ExitStack() as stack:
            if context.run is not None:
                stack.enter_context(alive(self.home, context.run.run_id))
            if context.run is not None and context.instance is not None:
                stack.enter_context(stoppable(context.instance, context.run.run_id))
            yield self

    @property
    def home(self) -> Home:
        return Home(address(self.root))
