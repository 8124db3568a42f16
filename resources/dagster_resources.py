"""The roles as Dagster resources: their settings in the launchpad, their models loaded on first use.

A resource holds configuration only. All resources of a run live from its first step to its last, so if they held
their models, every model would be in memory at once.
"""

import copy
from typing import Any, ClassVar, TypeVar

import dagster as dg
import pydantic

from resources.backends.choice import backend_of
from resources.captioner import CaptionerSettings
from resources.image_text_encoder import ImageTextEncoderSettings
from resources.image_text_matcher import ImageTextMatcherSettings
from resources.inpainter import InpainterSettings
from resources.loading.settings import ModelSettings
from resources.pair_generator import PairGeneratorSettings
from resources.prompt_rewriter import PromptRewriterSettings
from resources.segmenter import SegmenterSettings

Model = TypeVar("Model", bound=pydantic.BaseModel)


class RoleResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """A role whose settings are its configuration; subclasses also inherit the fields of `settings_class`.

    `library` is the kind that Dagster shows.
    """

    settings_class: ClassVar[type[ModelSettings]]
    library: ClassVar[str]

    @property
    def settings(self) -> ModelSettings:
        """What this run is configured with, as the role takes it."""
        return self.settings_class(**{name: getattr(self, name) for name in self.settings_class.model_fields})

    def open(self) -> Any:
        """Return the process's one instance of the role with these settings, loading it if need be.

        Ask again rather than keep it: so it can be let go when another role needs the accelerator.
        """
        settings = self.settings
        return backend_of(settings).load(settings)


class PromptRewriterResource(PromptRewriterSettings, RoleResource):
    """Captions to rewritten captions, by a language model."""

    settings_class = PromptRewriterSettings
    library = "huggingface"


class PairGeneratorResource(PairGeneratorSettings, RoleResource):
    """Prompt pairs to image pairs, by Stable Diffusion XL with Prompt-to-Prompt."""

    settings_class = PairGeneratorSettings
    library = "pytorch"


class ImageTextEncoderResource(ImageTextEncoderSettings, RoleResource):
    """Images and texts to vectors, by CLIP."""

    settings_class = ImageTextEncoderSettings
    library = "pytorch"


class ImageTextMatcherResource(ImageTextMatcherSettings, RoleResource):
    """Images and texts to match scores, by BLIP."""

    settings_class = ImageTextMatcherSettings
    library = "huggingface"


class SegmenterResource(SegmenterSettings, RoleResource):
    """Images to boxes of objects, by Segment Anything."""

    settings_class = SegmenterSettings
    library = "pytorch"


class CaptionerResource(CaptionerSettings, RoleResource):
    """Images and a question to an answer, by a vision-language model."""

    settings_class = CaptionerSettings
    library = "huggingface"


class InpainterResource(InpainterSettings, RoleResource):
    """Images and masks to images with something erased, by Stable Diffusion XL inpainting."""

    settings_class = InpainterSettings
    library = "pytorch"


ROLES: dict[str, type[RoleResource]] = {
    resource.settings_class.role: resource
    for resource in (
        PromptRewriterResource,
        PairGeneratorResource,
        ImageTextEncoderResource,
        ImageTextMatcherResource,
        SegmenterResource,
        CaptionerResource,
        InpainterResource,
    )
}


def role_resources(models: pydantic.BaseModel) -> dict[str, RoleResource]:
    """Return a resource for each role; `models` has a field of that name with the settings that are its defaults."""
    return {name: launchable_class(resource, getattr(models, name))() for name, resource in ROLES.items()}


def launchable_class(base: type[Model], settings: pydantic.BaseModel) -> type[Model]:
    """Return a subclass of `base` whose defaults are the values of `settings`, which has some or all of its fields.

    Dagster shows the defaults of the class in the launchpad, and what is overridden there keeps the other values.
    """
    fields: dict[str, Any] = {}
    for name, field in type(settings).model_fields.items():
        with_default = copy.copy(field)
        with_default.default, with_default.default_factory = getattr(settings, name), None
        fields[name] = (field.annotation, with_default)
    return pydantic.create_model(
        base.__name__, __base__=base, __module__=base.__module__, __doc__=base.__doc__, **fields
    )
