"""What differs between the diffusers pipelines that make pictures, so that the roles that run them need not know.

How each takes guidance, whether rows of a batch stay apart, and which sizes it makes.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resources.loading import devices
from resources.loading.diffusion_pipelines import load_pipeline, to_pixels
from resources.loading.failures import WeightsMissing
from resources.loading.settings import ModelSettings
from resources.loading.weights import locate


@dataclass(frozen=True, slots=True)
class Handling:
    """How a pipeline class is called.

    `guidance` is the argument that takes the weight of guidance. A pipeline `batches` where a row of a batch has a
    picture of its own and comes out as it does alone; the others are asked row by row. `patch` is how many latents
    make a token's side: sizes are multiples of so many of them. One that is not `sized` makes pictures of a size of
    its own. `own` are settings of the role that it takes by their names, `always` what it takes besides, `guided` what
    it takes where it is guided; `area` is an argument for the number of pixels.
    """

    guidance: str = "guidance_scale"
    batches: bool = False
    patch: int = 2
    sized: bool = True
    area: str | None = None
    own: tuple[str, ...] = ()
    always: Mapping[str, Any] = field(default_factory=dict)
    guided: Mapping[str, Any] = field(default_factory=dict)


EDITING: Mapping[str, Handling] = {
    # A list of pictures is to these several pictures of one row.
    "Flux2KleinPipeline": Handling(),
    "QwenImageEditPlusPipeline": Handling("true_cfg_scale", guided={"negative_prompt": " "}),
    "LongCatImageEditPipeline": Handling(sized=False),
    # Otherwise it takes a size of its own list, whatever it is asked for.
    "FluxKontextPipeline": Handling(batches=True, area="max_area", always={"_auto_resize": False}),
    "StableDiffusionXLInstructPix2PixPipeline": Handling(batches=True, patch=1, own=("image_guidance_scale",)),
}
"""The pipelines that change a picture as they are told, by the name of their class."""

GENERATING: Mapping[str, Handling] = {
    "StableDiffusionXLPipeline": Handling(batches=True, patch=1),
    "StableDiffusion3Pipeline": Handling(batches=True),
    "Flux2KleinPipeline": Handling(batches=True),
    "Flux2Pipeline": Handling(batches=True),
    # These fill captions up to the longest of a batch.
    "QwenImagePipeline": Handling("true_cfg_scale", guided={"negative_prompt": " "}),
    "ZImagePipeline": Handling(),
}
"""The pipelines that are known to draw a caption; others are tried as one that does not batch."""

OF_NO_CAPTION = ("Inpaint", "Edit", "Img2Img", "Pix2Pix", "ControlNet", "Video", "Kontext", "Upscale")
"""Parts of the names of pipelines that need more than a caption, or make something else."""


def draws_captions(name: str) -> bool:
    """Whether a pipeline of this class can be asked for a picture of a caption, as far as its name tells."""
    return name in GENERATING or not any(part in name for part in OF_NO_CAPTION)


def open_pipeline(settings: ModelSettings, known: Mapping[str, Handling]) -> tuple[Any, Handling]:
    """The pipeline that settings name, loaded as the class that saved it, and how to call it.

    Raises:
        WeightsMissing: the weights are not on this machine, or are of no class that this diffusers has.
    """
    import diffusers

    folder = locate(settings.model, settings.revision)
    name = pipeline_name(folder)
    if name is not None and not hasattr(diffusers, name):
        raise WeightsMissing(
            f"The model {settings.model!r} is a {name}, which diffusers {diffusers.__version__} does not have: take a "
            "newer diffusers or another model."
        )
    kind = diffusers.DiffusionPipeline if name is None else getattr(diffusers, name)
    # One model may be editor and generator, and takes its memory once.
    return devices.shared(settings, lambda: load_pipeline(kind, settings)), known.get(name or "", Handling())


def pipeline_name(folder: Path) -> str | None:
    """The class that a saved pipeline names; None where there is none."""
    try:
        return str(json.loads((folder / "model_index.json").read_text(encoding="utf-8"))["_class_name"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def allowed_size(pipeline: Any, handling: Handling, width: float, height: float) -> tuple[int, int]:
    """The width and height nearest to those wanted that the pipeline makes, in pixels."""
    step = pipeline.vae_scale_factor * handling.patch
    return max(step, round(width / step) * step), max(step, round(height / step) * step)


def make_pictures(
    pipeline: Any,
    handling: Handling,
    settings: Any,
    size: tuple[int, int],
    seeds: Sequence[int],
    **given: Sequence[Any],
) -> list[NDArray[np.uint8]]:
    """One picture (H, W, 3) for each seed, all noise of which the seed draws on the CPU; `given` has a value for each.

    A pipeline that batches gets `batch_size` rows at once. Pictures are of `size` (width, height), or of the
    pipeline's own where it has one. Raises FloatingPointError where the model overflowed.
    """
    import torch

    weight = settings.guidance_scale
    how: dict[str, Any] = {"num_inference_steps": settings.num_inference_steps, handling.guidance: weight}
    how |= {name: getattr(settings, name) for name in handling.own}
    how |= handling.always
    if handling.area is not None:
        how[handling.area] = size[0] * size[1]
    if handling.sized:
        how |= {"width": size[0], "height": size[1]}
    if weight > 1:
        how |= handling.guided
    made: list[NDArray[np.uint8]] = []
    step = settings.batch_size if handling.batches else 1
    for start in range(0, len(seeds), step):
        rows = slice(start, start + step)
        # A pipeline that does not batch takes one row as it is: of some a list would be something else.
        asked = {name: list(values[rows]) if handling.batches else values[start] for name, values in given.items()}
        drawn = [torch.Generator("cpu").manual_seed(seed) for seed in seeds[rows]]
        output = pipeline(**asked, **how, generator=drawn if handling.batches else drawn[0], output_type="np")
        made.extend(to_pixels(np.asarray(output.images), settings))
    return made
