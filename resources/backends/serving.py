"""Models behind a server that is started here for a run, and ends with it."""

from collections.abc import Mapping
from functools import partial
from typing import Any

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
_running: dict[str, StartedServer] = {}
"""By settings: a server is started once a process, and its guard ends it with the process."""


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
        folder = weights.locate(settings.model, settings.revision)
        key = settings.model_dump_json(exclude={"concurrency", "timeout_seconds", "max_retries", "batch_size"})
        if key not in _running or not _running[key].alive:
            _running.pop(key, None)
            device = devices.resolve(settings.device)
            card = device.removeprefix("cuda:") if device.startswith("cuda:") else None
            _running[key] = StartedServer(partial(COMMANDS[settings.serve], folder, settings), card)
        model = str(folder) if settings.serve in CALLED_BY_FOLDER else settings.model
        served = settings.model_copy(update={"base_url": _running[key].base_url, "serve": None, "model": model})
        return devices.load(CLASSES[settings.role], served, here=False)

    def device(self, settings: ModelSettings) -> None:
        return None

    def runs_on(self, settings: Any) -> str:
        for key, server in _running.items():
            if f'"serve":"{settings.serve}"' in key and f'"model":"{settings.model}"' in key and server.alive:
                told = engine_of(server.base_url)
                return str(told) if told.name else f"server ({settings.serve}, started here)"
        return f"server ({settings.serve}, started here)"

    def fetches(self, settings: ModelSettings) -> bool:
        return LIBRARY.fetches(settings)

    def fetch(self, settings: ModelSettings) -> Fetched:
        return LIBRARY.fetch(settings)

    def licence(self, settings: ModelSettings) -> str:
        return LIBRARY.licence(settings)


def stop_all() -> None:
    """End every server that this process started."""
    while _running:
        _running.popitem()[1].stop()
