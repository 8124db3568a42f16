"""The models of one recipe: loaded when a measurement asks, known by the content of their weights."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from imgdiff_assets.stages.stage import IMAGE_ENCODER, IMAGE_TEXT_ENCODER
from resources.backends.choice import backend_of, identity_of
from resources.loading import devices
from resources.loading.failures import ModelUnavailable
from resources.loading.settings import ModelSettings


class LoadedModels:
    """Opens the model of a role on first use.

    `settings` holds each role's settings, `openers` the functions that load it (a Dagster resource's `open`).
    """

    def __init__(self, settings: Mapping[str, ModelSettings], openers: Mapping[str, Callable[[], Any]]) -> None:
        self._settings = settings
        self._openers = openers
        self.opened: set[str] = set()

    @classmethod
    def shared(cls, settings: Mapping[str, ModelSettings]) -> "LoadedModels":
        """The models that the whole process shares, with these settings."""
        return cls(settings, {role: partial(backend_of(each).load, each) for role, each in settings.items()})

    def player(self, role: str) -> str:
        """The role whose model plays one: without an image encoder, the image-text encoder does."""
        return IMAGE_TEXT_ENCODER if role == IMAGE_ENCODER and role not in self._settings else role

    def settings(self, role: str) -> ModelSettings:
        """Raises ModelUnavailable for a role that the recipe names no model for."""
        if role not in self._settings:
            raise ModelUnavailable(f"The recipe has no {role}: name its model, as in `models.{role}.model`.")
        return self._settings[role]

    def identity(self, role: str) -> dict[str, Any]:
        """What a measurement by this role depends on: its settings, and its weights by content, not by name.

        Raises FileNotFoundError when the weights are missing, ModelUnavailable when a server does not answer.
        """
        return identity_of(self.settings(role))

    def device(self, role: str) -> str:
        """Where the role's model runs: on what of this machine, or where else."""
        settings = self._settings[role]
        return backend_of(settings).runs_on(settings)

    def is_in_process(self, role: str) -> bool:
        """Whether the role's model takes a device of the process that uses it, this one or another."""
        settings = self._settings[role]
        try:
            return backend_of(settings).device(settings) is not None
        except ValueError:  # this machine has no such device
            return True

    def peak_memory(self, role: str) -> int | None:
        """The role's peak memory in bytes since the stage began; see `resources.loading.devices`."""
        return devices.peak_memory(self._settings[role])

    def open(self, role: str) -> Any:
        """The loaded model. Not to be held on to: another model may need its room."""
        self.opened.add(role)
        return self._openers[role]()
