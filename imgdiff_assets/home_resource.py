"""The project's home as a Dagster resource."""

from pathlib import Path

import dagster as dg
from pydantic import Field

from imgdiff_assets.home import Home


class HomeResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Where the ledger and the catalog are."""

    root: str = Field(description="The folder that IMGDIFF_HOME names.")

    @property
    def home(self) -> Home:
        return Home(Path(self.root))
