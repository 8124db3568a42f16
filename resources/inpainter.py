"""Regions of images erased: Stable Diffusion XL inpainting, asked for the background alone.

Both kinds of model run that the stock pipeline knows: inpainting UNets of 9 input channels, and plain ones of 4, whose
latents are blended with the image's outside the mask at each step.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field, model_validator

from resources.loading.diffusion_pipelines import load_pipeline, to_pixels
from resources.loading.settings import ModelSettings

Pixels = NDArray[np.uint8]


class InpainterSettings(ModelSettings):
    """`model` is a saved Stable Diffusion XL pipeline, of inpainting or not; its scheduler is used as it was saved."""

    role: ClassVar[str] = "inpainter"

    image_size: int = Field(
        default=512, ge=8, multiple_of=8, description="The longer side at which the model sees an image, in pixels."
    )
    prompt: str = Field(default="an empty background", description="What is to be where the region was.")
    negative_prompt: str = Field(
        default="", description="What is not to be there; read only where `guidance_scale` is above 1."
    )
    num_inference_steps: int = Field(default=4, ge=1, description="Denoising steps, of which `strength` are done.")
    strength: float = Field(
        default=0.85, gt=0, le=1, description="How much noise the region starts from; at 1 nothing of it is left."
    )
    guidance_scale: float = Field(
        default=0.0, ge=0, description="Weight of classifier-free guidance; up to 1 there is none."
    )

    @model_validator(mode="after")
    def _some_step_is_done(self) -> "InpainterSettings":
        if int(self.num_inference_steps * self.strength) < 1:
            raise ValueError("num_inference_steps × strength is below 1, so no step would be done")
        return self

    def identity(self) -> dict[str, Any]:
        """Everything a picture depends on; in half precision also how noise is drawn, for some shapes once another."""
        fields = super().identity()
        return fields if self.dtype == "float32" else {**fields, "noise": "float32"}


class Inpainter:
    """Paints over regions. Slow to make (it loads the weights), so get it from `devices.load`."""

    def __init__(self, settings: InpainterSettings) -> None:
        """Load the pipeline.

        Raises:
            WeightsMissing: the weights are not on this machine, or are not a saved diffusers pipeline.
        """
        from diffusers import StableDiffusionXLInpaintPipeline

        self.settings = settings
        self.pipeline: Any = load_pipeline(StableDiffusionXLInpaintPipeline, settings)
        if settings.dtype != "float16":
            # Only there do some image encoders overflow; elsewhere the pipeline need not convert them for each image.
            self.pipeline.vae.register_to_config(force_upcast=False)

    def erase(
        self, images: Sequence[Pixels], masks: Sequence[NDArray[np.bool_]], seeds: Sequence[int]
    ) -> list[Pixels]:
        """Return the images (H, W, 3), of any shapes, with what is under their masks (H, W) painted anew.

        Outside its mask an image stays as it is, pixel for pixel. All noise of a row is drawn on the CPU from its own
        seed, so a result depends on its image, mask and seed only, not on the rows beside it.

        Raises:
            ValueError: there are not as many masks and seeds as images, or a mask has not its image's shape.
        """
        if not len(images) == len(masks) == len(seeds):
            raise ValueError(
                f"An erasure is an image, a mask and a seed, but there are {len(images)}, {len(masks)} and "
                f"{len(seeds)} of them."
            )
        for image, mask in zip(images, masks, strict=True):
            if mask.shape != image.shape[:2]:
                raise ValueError(f"A mask of shape {mask.shape} does not fit an image of shape {image.shape}.")
        erased: dict[int, Pixels] = {}
        rows_by_size: dict[tuple[int, int], list[int]] = {}
        for row, image in enumerate(images):
            rows_by_size.setdefault(self._working_size(image), []).append(row)
        for size, rows in rows_by_size.items():
            for start in range(0, len(rows), self.settings.batch_size):
                batch = rows[start : start + self.settings.batch_size]
                chosen = ([images[row] for row in batch], [masks[row] for row in batch], [seeds[row] for row in batch])
                painted = self._paint(*chosen, size)
                for row, pixels in zip(batch, painted, strict=True):
                    height, width = images[row].shape[:2]
                    whole = np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC))
                    erased[row] = np.where(masks[row][..., None], whole, images[row])
        return [erased[row] for row in range(len(images))]

    def _working_size(self, image: Pixels) -> tuple[int, int]:
        """Return width and height, multiples of 8 and close to the image's shape, at which the model sees it."""
        height, width = image.shape[:2]
        scale = self.settings.image_size / max(height, width)
        return max(8, round(width * scale / 8) * 8), max(8, round(height * scale / 8) * 8)

    def _paint(
        self,
        images: Sequence[Pixels],
        masks: Sequence[NDArray[np.bool_]],
        seeds: Sequence[int],
        size: tuple[int, int],
    ) -> Pixels:
        """Return what the model makes of one batch, (N, height, width, 3) at the working `size`."""
        import torch

        settings = self.settings
        output = self.pipeline(
            prompt=[settings.prompt] * len(seeds),
            negative_prompt=[settings.negative_prompt] * len(seeds),
            image=[Image.fromarray(image).resize(size, Image.Resampling.BICUBIC) for image in images],
            mask_image=[Image.fromarray(mask).convert("L").resize(size, Image.Resampling.NEAREST) for mask in masks],
            width=size[0],
            height=size[1],
            strength=settings.strength,
            num_inference_steps=settings.num_inference_steps,
            guidance_scale=settings.guidance_scale,
            generator=[torch.Generator("cpu").manual_seed(seed) for seed in seeds],
            output_type="np",
        )
        return to_pixels(output.images, settings)
