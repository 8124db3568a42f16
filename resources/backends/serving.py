"""Models behind a server that is started here for a run, and ends with it."""

import os
from collections.abc import Mapping
from functools import partial
from typing import Any
from weakref import WeakSet

import pydantic

from resources.backends.backend import Presence
from resources.backends.library import Library
from resources.backends.server import CLASSES
from resources.loading import devices, weights
from resources.loading.downloads import Fetched
from resources.loading.settings import ModelSettings
from resources.serving.commands import CALLED_BY_FOLDER, COMMANDS
from resources.serving.engine import engine_of
from resources.serving.started import StartedServer

LIBRARY = Library()
_running: "WeakSet[_Server]" = WeakSet()


class _Server:
    """A started server, loaded as models are: it claims its card as they do, and ends when it is let go."""

    fills_card = True

    def __init__(self, settings: Any) -> None:
        self.settings = settings
        self._folder = weights.locate(settings.model, settings.revision)
        self._card = card_named(devices.resolve(settings.device))
        self._started = self._start()
        _running.add(self)

    @property
    def base_url(self) -> str:
        """Where it answers; it is started again where it has ended."""
        if not self._started.alive:
            self._started.stop()
            self._started = self._start()
        return self._started.base_url

    def _start(self) -> StartedServer:
        return StartedServer(partial(COMMANDS[self.settings.serve], self._folder, self.settings), self._card)


def card_named(device: str) -> str | None:
    """What CUDA_VISIBLE_DEVICES calls a torch device of this process, which may see but some; None for a CPU."""
    if not device.startswith("cuda:"):
        return None
    number = int(device.removeprefix("cuda:"))
    seen = os.environ.get("CUDA_VISIBLE_DEVICES")
    return seen.split(",")[number].strip() if seen else str(number)


class Serving:
    """See `resources.backends.backend.Backend`. Its settings are `ChatModelSettings` with `serve`."""

    roles: tuple[str, ...] = ("prompt_rewriter", "captioner", "verifier")
    place = "behind a server that is started here"
    settings_class: type[pydantic.BaseModel] | None = None
    packages: Mapping[str, str] = {"openai": "pip install 'imgdiff-assets[server]'"}

    def weights(self, settings: Any) -> str:
        """The SHA-256 of all files that are loaded: they are of this machine. Raises FileNotFoundError."""
        return LIBRARY.weights(settings)

    def presence(self, settings: Any) -> Presence:
        return LIBRARY.presence(settings)

    def load(self, settings: Any) -> Any:
        """As the protocol says; starts the server at the first call, and again where it has ended."""
        server = devices.load(_Server, settings)
        folder = weights.locate(settings.model, settings.revision)
        model = str(folder) if settings.serve in CALLED_BY_FOLDER else settings.model
        served = settings.model_copy(update={"base_url": server.base_url, "serve": None, "model": model})
        return devices.load(CLASSES[settings.role], served, here=False)

    def device(self, settings: ModelSettings) -> None:
        return None

    def runs_on(self, settings: Any) -> str:
        for server in _running:
            if (server.settings.serve, server.settings.model) == (settings.serve, settings.model):
                told = engine_of(server.base_url)
                return str(told) if told.name else f"server ({settings.serve}, started here)"
        return f"server ({settings.serve}, started here)"

    def fetches(self, settings: ModelSettings) -> bool:
        return LIBRARY.fetches(settings)

    def fetch(self, settings: ModelSettings) -> Fetched:
        return LIBRARY.fetch(settings)

    def licence(self, settings: ModelSettings) -> str:
        return LIBRARY.licence(settings)
