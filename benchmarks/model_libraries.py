"""Imports what models are loaded with, seconds of it: by a process from which others are forked."""

import open_clip
import segment_anything
import torchvision.ops
from diffusers import StableDiffusionXLPipeline
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, BlipForImageTextRetrieval

LOADED = (
    open_clip.create_model,
    segment_anything.build_sam,
    torchvision.ops.batched_nms,
    StableDiffusionXLPipeline,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    BlipForImageTextRetrieval,
)
"""Named, for transformers and diffusers import a class when it is asked for."""
