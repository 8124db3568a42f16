"""Models behind a server that speaks OpenAI's protocol, wherever it is."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import pydantic

from resources.backends.backend import Presence
from resources.chat_server import ServedCaptioner, ServedPromptRewriter, served_identity
from resources.image_server import ServedEditor, ServedImageGenerator
from resources.loading import devices
from resources.loading.downloads import DownloadFailed, Fetched
from resources.loading.failures import ModelUnavailable
from resources.loading.licences import licence_of
from resources.loading.settings import ModelSettings
from resources.serving.engine import engine_of
from resources.verifier import ServedVerifier
from resources.witness import ServedWitness

CLASSES: dict[str, type[Any]] = {
    "prompt_rewriter": ServedPromptRewriter,
    "captioner": ServedCaptioner,
    "verifier": ServedVerifier,
    "witness": ServedWitness,
    "editor": ServedEditor,
    "image_generator": ServedImageGenerator,
}


class Server:
    """See `resources.backends.backend.Backend`. Its settings are `ServableSettings` with a `base_url`."""

    roles = tuple(CLASSES)
    place = "behind a server"
    settings_class: type[pydantic.BaseModel] | None = None
    packages: Mapping[str, str] = {"openai": "pip install 'imgdiff-assets[server]'"}

    def weights(self, settings: Any) -> str:
        """A hash of what the server tells of the model: its weights cannot be read. Raises ModelUnavailable."""
        known: list[Any] = [served_identity(settings)]
        if getattr(settings, "pin_server", False):
            known.append(asdict(engine_of(settings.base_url)))
        told = json.dumps(known, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return f"served:{hashlib.sha256(told.encode()).hexdigest()}"

    def presence(self, settings: Any) -> Presence:
        try:
            served_identity(settings, retries=0)  # who asks waits, and may ask again
        except ModelUnavailable as error:
            return Presence(settings.base_url, str(error))
        return Presence(settings.base_url)

    def load(self, settings: Any) -> Any:
        return devices.load(CLASSES[settings.role], settings, here=False)

    def device(self, settings: ModelSettings) -> None:
        return None

    def runs_on(self, settings: Any) -> str:
        """`server`, with its program and version where it tells them."""
        return str(engine_of(settings.base_url))

    def fetches(self, settings: ModelSettings) -> bool:
        return False

    def fetch(self, settings: ModelSettings) -> Fetched:
        raise DownloadFailed(f"{settings.model}: it is behind a server, and nothing of it is fetched.")

    def licence(self, settings: ModelSettings) -> str:
        """As far as its name tells it: the server does not."""
        return licence_of(settings.model, settings.revision)
