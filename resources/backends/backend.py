"""What the rest of the project asks of a backend, whatever runs the models behind it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import pydantic

from resources.loading.downloads import Fetched
from resources.loading.settings import ModelSettings


@dataclass(frozen=True, slots=True)
class Presence:
    """Whether a model can be run, as far as that is known without loading it.

    `where` is its folder, file or address. `missing` says what is missing and the command or field that mends it; None
    where nothing is. `disk_bytes` is what its files take here, or will take once fetched, `memory_bytes` what its
    weights take in the memory of this process's device, and `dtype` the type they are run in; None where that is not
    known, or not this machine's concern.
    """

    where: str | None = None
    missing: str | None = None
    disk_bytes: int | None = None
    memory_bytes: int | None = None
    dtype: str | None = None


class Backend(Protocol):
    """Runs the models of some roles.

    An installed package offers one, an object, in its metadata, `[project.entry-points."imgdiff_assets.backends"]`, by
    the name that the field `backend` of a role's settings then takes. Measurements depend on the package and on its
    version too, to which the backend need not see itself.
    """

    roles: tuple[str, ...]
    """The roles that it plays, such as `captioner`."""

    place: str
    """Where its models are, in words that follow "the model is": `behind a server`."""

    settings_class: type[pydantic.BaseModel] | None
    """What the field `backend_settings` of a role's settings must be like; None where the backend has no settings."""

    packages: Mapping[str, str]
    """The modules it imports that may not be installed, each with the command that installs it."""

    def weights(self, settings: ModelSettings) -> str:
        """Return what the weights are known by: a digest of their content, or of what else tells them from others.

        Asked for each table of the ledger, so it should be quick the second time.

        Raises:
            FileNotFoundError: they are missing; the message says how to get them.
            ModelUnavailable: whatever runs them does not answer.
        """
        ...

    def presence(self, settings: ModelSettings) -> Presence:
        """Return whether the model can be run; a missing one is no error."""
        ...

    def load(self, settings: ModelSettings) -> Any:
        """Return what plays the role `settings.role`: an object with the methods of the role's class in `resources`.

        Called each time the role is used; what is slow to make is made once (`resources.loading.devices.load`). An
        exception that it raises later sets a row apart unless `resources.loading.failures.is_of_the_machine`.

        Raises:
            FileNotFoundError: its weights are missing.
            ModelUnavailable: it cannot be loaded.
        """
        ...

    def device(self, settings: ModelSettings) -> str | None:
        """Return the torch device whose memory the model takes in this process; None where it takes none.

        Raises:
            ValueError: this machine has no such device.
        """
        ...

    def runs_on(self, settings: ModelSettings) -> str:
        """Return where it runs, as records tell it: a device with its kind of processor, or a word such as `server`.

        Raises:
            ValueError: as `device`.
        """
        ...

    def fetches(self, settings: ModelSettings) -> bool:
        """Return whether there may be something for `fetch` to bring to this machine."""
        ...

    def fetch(self, settings: ModelSettings) -> Fetched:
        """Bring the model here unless it is, with progress on stderr. Raises DownloadFailed."""
        ...

    def licence(self, settings: ModelSettings) -> str:
        """Return the terms that the model is published under, or why they are not known. Never fails."""
        ...
