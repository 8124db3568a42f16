"""Models that a library runs in this process: each role's own class, with weights on this machine."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pydantic

from resources.backends.backend import Presence
from resources.captioner import Captioner
from resources.editor import Editor
from resources.image_encoder import ImageEncoder, open_image_encoder
from resources.image_generator import ImageGenerator
from resources.image_text_encoder import ImageTextEncoder
from resources.image_text_matcher import ImageTextMatcher
from resources.inpainter import Inpainter
from resources.loading import devices, weights
from resources.loading.downloads import Fetched, fetch, is_remote
from resources.loading.failures import WeightsMissing
from resources.loading.known_models import KNOWN_MODELS
from resources.loading.licences import licence_of
from resources.loading.model_kinds import without_thresholds, wrong_kind
from resources.loading.settings import ModelSettings
from resources.pair_generator import PairGenerator
from resources.prompt_rewriter import PromptRewriter
from resources.sam.opening import open_segmenter
from resources.segmenter import Segmenter
from resources.verifier import Verifier
from resources.witness import Witness

CLASSES: dict[str, type[Any]] = {
    "prompt_rewriter": PromptRewriter,
    "pair_generator": PairGenerator,
    "image_text_encoder": ImageTextEncoder,
    "image_encoder": ImageEncoder,
    "image_text_matcher": ImageTextMatcher,
    "segmenter": Segmenter,
    "captioner": Captioner,
    "inpainter": Inpainter,
    "verifier": Verifier,
    "witness": Witness,
    "editor": Editor,
    "image_generator": ImageGenerator,
}

OPENERS: dict[str, Callable[[Any], Any]] = {
    **{role: partial(devices.load, made) for role, made in CLASSES.items()},
    "image_encoder": open_image_encoder,
    "segmenter": open_segmenter,
}


def _unfit(settings: ModelSettings, path: Path) -> str | None:
    """Why the role cannot run what is at `path`; None where it can."""
    return wrong_kind(settings, path) or without_thresholds(settings, path)


class Library:
    """See `resources.backends.backend.Backend`."""

    roles = tuple(CLASSES)
    place = "on this machine"
    settings_class: type[pydantic.BaseModel] | None = None
    packages: Mapping[str, str] = {}

    def weights(self, settings: ModelSettings) -> str:
        """The SHA-256 of all files that are loaded. Raises FileNotFoundError."""
        return weights.digest(weights.locate(settings.model, settings.revision), settings.dtype)

    def presence(self, settings: ModelSettings) -> Presence:
        dtype = settings.dtype
        try:
            path = weights.locate(settings.model, settings.revision)
        except FileNotFoundError as error:
            known = KNOWN_MODELS.get(settings.model)
            if known is None:
                return Presence(missing=str(error), dtype=dtype)
            return Presence(None, str(error), known.download_bytes(dtype), known.memory_bytes(dtype), dtype)
        wrong = _unfit(settings, path)
        return Presence(str(path), wrong, weights.size(path, dtype), weights.memory(path, dtype), dtype)

    def load(self, settings: ModelSettings) -> Any:
        """As the protocol says; a model of another kind than the role runs is WeightsMissing."""
        if wrong := _unfit(settings, weights.locate(settings.model, settings.revision)):
            raise WeightsMissing(wrong)
        return OPENERS[settings.role](settings)

    def device(self, settings: ModelSettings) -> str:
        return devices.resolve(settings.device)

    def runs_on(self, settings: ModelSettings) -> str:
        return devices.describe(settings.device)

    def fetches(self, settings: ModelSettings) -> bool:
        return is_remote(settings.model)

    def fetch(self, settings: ModelSettings) -> Fetched:
        return fetch(settings.model, settings.revision, settings.dtype)

    def licence(self, settings: ModelSettings) -> str:
        return licence_of(settings.model, settings.revision)
