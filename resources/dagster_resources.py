"""The roles as Dagster resources: their settings in the launchpad, their models loaded on first use.

A resource holds configuration only. All resources of a run live from its first step to its last, so one that loaded
its weights by itself would keep every model in memory at once.
"""

import copy
from typing import Any, TypeVar

import dagster as dg
import pydantic

from resources import devices
from resources.captioner import Captioner, CaptionerSettings
from resources.image_text_encoder import ImageTextEncoder, ImageTextEncoderSettings
from resources.image_text_matcher import ImageTextMatcher, ImageTextMatcherSettings
from resources.pair_generator import PairGenerator, PairGeneratorSettings
from resources.prompt_rewriter import PromptRewriter, PromptRewriterSettings
from resources.segmenter import Segmenter, SegmenterSettings
from resources.settings import ModelSettings

Settings = TypeVar("Settings", bound=ModelSettings)
Resource = TypeVar("Resource", bound=dg.ConfigurableResource[Any])


class PromptRewriterResource(PromptRewriterSettings, dg.ConfigurableResource[PromptRewriter]):
    """Captions to rewritten captions."""

    @property
    def settings(self) -> PromptRewriterSettings:
        """What the launchpad says."""
        return _settings(PromptRewriterSettings, self)

    def open(self) -> PromptRewriter:
        """Return the process's one model with these settings; ask again rather than keep it."""
        return devices.load(PromptRewriter, self.settings)


class PairGeneratorResource(PairGeneratorSettings, dg.ConfigurableResource[PairGenerator]):
    """Prompt pairs to image pairs."""

    @property
    def settings(self) -> PairGeneratorSettings:
        """What the launchpad says."""
        return _settings(PairGeneratorSettings, self)

    def open(self) -> PairGenerator:
        """Return the process's one model with these settings; ask again rather than keep it."""
        return devices.load(PairGenerator, self.settings)


class ImageTextEncoderResource(ImageTextEncoderSettings, dg.ConfigurableResource[ImageTextEncoder]):
    """Images and texts to vectors."""

    @property
    def settings(self) -> ImageTextEncoderSettings:
        """What the launchpad says."""
        return _settings(ImageTextEncoderSettings, self)

    def open(self) -> ImageTextEncoder:
        """Return the process's one model with these settings; ask again rather than keep it."""
        return devices.load(ImageTextEncoder, self.settings)


class ImageTextMatcherResource(ImageTextMatcherSettings, dg.ConfigurableResource[ImageTextMatcher]):
    """Crops and texts to match scores."""

    @property
    def settings(self) -> ImageTextMatcherSettings:
        """What the launchpad says."""
        return _settings(ImageTextMatcherSettings, self)

    def open(self) -> ImageTextMatcher:
        """Return the process's one model with these settings; ask again rather than keep it."""
        return devices.load(ImageTextMatcher, self.settings)


class SegmenterResource(SegmenterSettings, dg.ConfigurableResource[Segmenter]):
    """Images to boxes of objects."""

    @property
    def settings(self) -> SegmenterSettings:
        """What the launchpad says."""
        return _settings(SegmenterSettings, self)

    def open(self) -> Segmenter:
        """Return the process's one model with these settings; ask again rather than keep it."""
        return devices.load(Segmenter, self.settings)


class CaptionerResource(CaptionerSettings, dg.ConfigurableResource[Captioner]):
    """Images and questions to answers."""

    @property
    def settings(self) -> CaptionerSettings:
        """What the launchpad says."""
        return _settings(CaptionerSettings, self)

    def open(self) -> Captioner:
        """Return the process's one model with these settings; ask again rather than keep it."""
        return devices.load(Captioner, self.settings)
