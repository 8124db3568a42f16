"""What the roles that run diffusers pipelines share: loading, noise, and pictures out of what they return."""

import sys
from inspect import signature
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resources.loading.devices import quiet_loading, resolve
from resources.loading.failures import ModelUnavailable, WeightsMissing, not_numbers
from resources.loading.loaded_files import variant
from resources.loading.settings import ModelSettings
from resources.loading.weights import locate

RECOMPILE_LIMIT = 256
"""Variants of the transformer blocks that may be compiled: torch's own bound for what has no other."""


def load_pipeline(pipeline_class: Any, settings: ModelSettings) -> Any:
    """Return the pipeline that `settings` name, on its device, from safetensors only and without progress bars.

    Raises:
        WeightsMissing: the weights are not on this machine, or are not a saved diffusers pipeline.
    """
    import torch
    from diffusers.utils import logging as diffusers_log
    from transformers.utils import logging as transformers_log

    folder = locate(settings.model, settings.revision)
    if not (folder / "model_index.json").is_file():
        raise WeightsMissing(
            f"The field `model` is {settings.model!r}, but {folder} has no model_index.json: name the folder of a "
            f"saved {pipeline_class.__name__}."
        )
    with quiet_loading(diffusers_log, transformers_log):
        pipeline = pipeline_class.from_pretrained(
            folder,
            variant=variant((file.relative_to(folder).as_posix() for file in folder.glob("unet/*")), settings.dtype),
            dtype=getattr(torch, settings.dtype),
            use_safetensors=True,
            local_files_only=True,
            **({"add_watermarker": False} if "XL" in pipeline_class.__name__ else {}),
        ).to(resolve(settings.device))
    pipeline.set_progress_bar_config(disable=True)
    # Image by image, to need the memory of one.
    pipeline.vae.enable_slicing()
    _draw_noise_in_float32(pipeline)
    return pipeline


def _draw_noise_in_float32(pipeline: Any) -> None:
    """Have start noise, the noise of schedulers and that of image encoders drawn in float32 and then rounded.

    In half precision torch draws other numbers for some sizes, and did for all before 2.14: a seed is to mean one
    picture. Each module of diffusers that draws has `randn_tensor` by name, so it is replaced there.
    """
    drawn_in = {each.__module__ for part in (pipeline, *pipeline.components.values()) for each in type(part).__mro__}
    for name in (*drawn_in, "diffusers.models.autoencoders.vae"):
        if name.startswith("diffusers.") and hasattr(sys.modules[name], "randn_tensor"):
            vars(sys.modules[name])["randn_tensor"] = _noise


def _noise(shape: Any, generator: Any = None, device: Any = None, dtype: Any = None, layout: Any = None) -> Any:
    """Do what diffusers' `randn_tensor` does, but draw in float32 whatever the type of the result."""
    import torch
    from diffusers.utils.torch_utils import randn_tensor

    return randn_tensor(shape, generator, device, torch.float32, layout).to(dtype or torch.float32)


def compile_blocks(unet: Any) -> None:
    """Have torch.compile make kernels for the UNet's transformer blocks, when they are first called.

    Blocks of one shape share what is compiled, for each size of their inputs and each branch that a call takes; it is
    kept while the process lives, also for the same model loaded again, and Inductor keeps the kernels on disk.

    Raises:
        ModelUnavailable: this machine lacks what compiling needs.
    """
    import torch

    try:
        # Something small at once: what is missing should not be told in the middle of a batch.
        torch.compile(torch.nn.GELU())(torch.ones(1, device=unet.device))
    except (RuntimeError, OSError) as error:
        reason = " ".join(str(error).partition("Set TORCHDYNAMO")[0].split())[:300]
        raise ModelUnavailable(
            f"The field `compile` is true, but torch.compile does not work here: {reason}: install a C++ compiler "
            "(the command g++), on a GPU Triton too, or set the field to false."
        ) from error
    # The usual limit, 8, is less than one call takes; beyond this one a whole graph fails rather than runs uncompiled.
    limit = {"recompile_limit": RECOMPILE_LIMIT}
    if "recompile_limit" not in signature(torch.compile).parameters:  # before torch 2.12 there is one for all
        torch._dynamo.config.recompile_limit = RECOMPILE_LIMIT
        limit = {}
    unet.compile_repeated_blocks(fullgraph=True, dynamic=False, **limit)


def to_pixels(images: NDArray[np.float32], settings: ModelSettings) -> NDArray[np.uint8]:
    """Return (N, height, width, 3) images from 0 to 1 as uint8.

    Raises:
        FloatingPointError: the model overflowed.
    """
    if not np.isfinite(images).all():
        raise not_numbers("images", settings.model, settings.dtype)
    return (images * 255).round().astype(np.uint8)
