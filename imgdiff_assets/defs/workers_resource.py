"""The workers as a Dagster resource: their settings in the launchpad, they themselves for as long as the run lasts."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, cast

import dagster as dg
from pydantic import PrivateAttr, create_model

from imgdiff_assets.common.progress import telling
from imgdiff_assets.defs.launchpad import laid_over, launchpad_fields
from imgdiff_assets.engine.measurer import HERE, Measurer
from imgdiff_assets.engine.workers.hired import hired
from imgdiff_assets.recipe.worker_settings import WorkersSettings


class WorkersResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Who measures: what the launchpad says, laid over the recipe's section `workers`, which is the `base`."""

    base: ClassVar[WorkersSettings]
    _measurer: Measurer = PrivateAttr(default=HERE)

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["WorkersResource"]:
        """Raises ValidationError before anything is run."""
        settings = WorkersSettings.model_validate(laid_over(self.base, self))
        log = telling(context.log.warning) if context.log is not None else lambda text: None
        with hired(settings, log) as measurer:
            self._measurer = measurer
            yield self

    @property
    def measurer(self) -> Measurer:
        """Of this run."""
        return self._measurer


def workers_resource(settings: WorkersSettings) -> WorkersResource:
    """The resource of a recipe's workers: the launchpad may ask for others for one run."""
    resource: Any = cast(Any, create_model)(
        "WorkersResource", __base__=WorkersResource, __doc__=WorkersSettings.__doc__, **launchpad_fields(settings)
    )
    resource.base = settings
    return cast(WorkersResource, resource())
