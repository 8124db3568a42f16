"""Captions to pictures: any of diffusers' text-to-image pipelines."""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from resources.loading.image_pipelines import GENERATING, allowed_size, make_pictures, open_pipeline
from resources.loading.settings import ImageModelSettings


class ImageGeneratorSettings(ImageModelSettings):
    """`model` is a saved diffusers pipeline of text to image, or what the server at `base_url` calls one."""

    role: ClassVar[str] = "image_generator"

    image_size: int = Field(
        default=1024,
        ge=8,
        description="Height and width of the pictures, in pixels: the nearest that the model makes.",
    )


class ImageGenerator:
    """Draws pictures. Slow to make (it loads the weights), so get it from `devices.load`."""

    def __init__(self, settings: ImageGeneratorSettings) -> None:
        """Load the pipeline.

        Raises:
            WeightsMissing: the weights are not on this machine, or are not a saved pipeline of text to image.
        """
        self.settings = settings
        self.pipeline, self._handling = open_pipeline(settings, GENERATING)

    def generate(self, captions: Sequence[str], seeds: Sequence[int]) -> list[NDArray[np.uint8]]:
        """Return a picture (H, W, 3) of each caption, RGB uint8.

        All noise of a row is drawn in float32 on the CPU from its own seed, so a picture depends on its caption and
        seed only, not on the rows beside it.

        Raises:
            ValueError: there are not as many seeds as captions.
        """
        check_rows(captions, seeds)
        side = self.settings.image_size
        size = allowed_size(self.pipeline, self._handling, side, side)
        return make_pictures(self.pipeline, self._handling, self.settings, size, seeds, prompt=captions)


def check_rows(captions: Sequence[str], seeds: Sequence[int]) -> None:
    """Raise ValueError unless there are as many of each."""
    if len(captions) != len(seeds):
        raise ValueError(f"A picture is a caption and a seed, but there are {len(captions)} and {len(seeds)} of them.")
