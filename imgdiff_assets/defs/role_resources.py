"""The roles as Dagster resources: their settings in the launchpad, their models loaded on first use.

A resource holds configuration only. All resources of a run live from its first step to its last, so if they held
their models, every model would be in memory at once.
"""

from typing import Any, ClassVar, cast

import dagster as dg
from pydantic import BaseModel, create_model

from imgdiff_assets.defs.launchpad import laid_over, launchpad_fields
from resources.backends.choice import backend_of
from resources.captioner import CaptionerSettings
from resources.editor import EditorSettings
from resources.image_encoder import ImageEncoderSettings
from resources.image_generator import ImageGeneratorSettings
from resources.image_text_encoder import ImageTextEncoderSettings
from resources.image_text_matcher import ImageTextMatcherSettings
from resources.inpainter import InpainterSettings
from resources.loading.settings import ModelSettings
from resources.pair_generator import PairGeneratorSettings
from resources.prompt_rewriter import PromptRewriterSettings
from resources.segmenter import SegmenterSettings
from resources.verifier import VerifierSettings
from resources.witness import WitnessSettings


class RoleResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """A role: what the launchpad says of its settings, laid over the recipe's, which are its `base`.

    `library` is the kind that Dagster shows.
    """

    settings_class: ClassVar[type[ModelSettings]]
    library: ClassVar[str]
    base: ClassVar[ModelSettings]

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Raises ValidationError before anything is run."""
        _ = self.settings

    @property
    def settings(self) -> ModelSettings:
        """What this run is configured with, as the role takes it."""
        return self.settings_class.model_validate(laid_over(self.base, self))

    def open(self) -> Any:
        """Return the process's one instance of the role with these settings, loading it if need be.

        Ask again rather than keep it: so it can be let go when another role needs the accelerator.
        """
        settings = self.settings
        return backend_of(settings).load(settings)


class PromptRewriterResource(RoleResource):
    """Captions to rewritten captions, by a language model."""

    settings_class = PromptRewriterSettings
    library = "huggingface"


class PairGeneratorResource(RoleResource):
    """Prompt pairs to image pairs, by Stable Diffusion XL with Prompt-to-Prompt."""

    settings_class = PairGeneratorSettings
    library = "pytorch"


class ImageTextEncoderResource(RoleResource):
    """Images and texts to vectors, by CLIP."""

    settings_class = ImageTextEncoderSettings
    library = "pytorch"


class ImageEncoderResource(RoleResource):
    """Images to vectors, by DINOv3 or CLIP."""

    settings_class = ImageEncoderSettings
    library = "huggingface"


class ImageTextMatcherResource(RoleResource):
    """Images and texts to match scores, by BLIP."""

    settings_class = ImageTextMatcherSettings
    library = "huggingface"


class SegmenterResource(RoleResource):
    """Images to boxes of objects, by Segment Anything."""

    settings_class = SegmenterSettings
    library = "pytorch"


class CaptionerResource(RoleResource):
    """Images and a question to an answer, by a vision-language model."""

    settings_class = CaptionerSettings
    library = "huggingface"


class InpainterResource(RoleResource):
    """Images and masks to images with something erased, by Stable Diffusion XL inpainting."""

    settings_class = InpainterSettings
    library = "pytorch"


class VerifierResource(RoleResource):
    """Images to how right they look, by an image classifier or a vision-language model."""

    settings_class = VerifierSettings
    library = "huggingface"


class WitnessResource(RoleResource):
    """What the captioner is asked to the answer of another one, by a vision-language model."""

    settings_class = WitnessSettings
    library = "huggingface"


class EditorResource(RoleResource):
    """Images and instructions to changed images, by an editing model."""

    settings_class = EditorSettings
    library = "pytorch"


class ImageGeneratorResource(RoleResource):
    """Captions to images, by any text-to-image model."""

    settings_class = ImageGeneratorSettings
    library = "pytorch"


ROLES: dict[str, type[RoleResource]] = {
    resource.settings_class.role: resource
    for resource in (
        PromptRewriterResource,
        PairGeneratorResource,
        ImageTextEncoderResource,
        ImageEncoderResource,
        ImageTextMatcherResource,
        SegmenterResource,
        CaptionerResource,
        InpainterResource,
        VerifierResource,
        WitnessResource,
        EditorResource,
        ImageGeneratorResource,
    )
}


def role_resources(models: BaseModel) -> dict[str, RoleResource]:
    """A resource for each role that the recipe names; `models` has a field of that name with its settings."""
    named = ((name, getattr(models, name)) for name in ROLES)
    return {name: role_resource(settings) for name, settings in named if settings is not None}


def role_resource(settings: ModelSettings) -> RoleResource:
    """The resource of a role with these settings: the launchpad may override any of them for one run."""
    kind = ROLES[settings.role]
    resource: Any = cast(Any, create_model)(
        kind.__name__, __base__=kind, __doc__=kind.__doc__, **launchpad_fields(settings)
    )
    resource.base = settings
    return cast(RoleResource, resource())
