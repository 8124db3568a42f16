"""What kind of model a folder or file of weights is, as far as its configuration tells, and which kind a role wants.

Told before anything is loaded: a library that is given another kind stops in the middle of its own code.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resources.loading.image_pipelines import EDITING, draws_captions
from resources.loading.known_models import THRESHOLDS
from resources.loading.settings import EncoderSettings, ModelSettings


@dataclass(frozen=True, slots=True)
class Kind:
    """`family` is the library's own format, `name` the class that the configuration names, if any."""

    family: str
    name: str = ""
    reads_images: bool = False

    def __str__(self) -> str:
        return f"{self.family} ({self.name})" if self.name else self.family


PIPELINE, TRANSFORMERS = "a diffusers pipeline", "a transformers model"
CLASSIFIER = "ForImageClassification"
DUAL_CLASSES = ("SiglipModel", "Siglip2Model", "CLIPModel")
SAM_CLASSES = ("Sam2Model", "Sam3Model")
"""Videos are told apart by the name as well: the published configurations name `Sam2VideoModel`."""

OPEN_CLIP, SAM, FILE = "an open_clip model", "a Segment Anything model", "a single file"

WANTED: Mapping[str, tuple[str, Callable[[Kind], bool]]] = {
    "prompt_rewriter": (
        "a transformers language model (such as Qwen3ForCausalLM)",
        lambda kind: kind.family == TRANSFORMERS and _names(kind, "CausalLM", "ConditionalGeneration"),
    ),
    "pair_generator": (
        "a diffusers StableDiffusionXLPipeline: Prompt-to-Prompt needs cross-attention of its own",
        lambda kind: kind.family == PIPELINE and _names(kind, "StableDiffusionXL") and draws_captions(kind.name),
    ),
    "image_text_encoder": (
        "an open_clip model (open_clip_config.json), or a SigLIP or CLIP of transformers",
        lambda kind: kind.family == OPEN_CLIP or (kind.family == TRANSFORMERS and _is_dual(kind)),
    ),
    "image_encoder": (
        "an encoder of images: a transformers model such as DINOv3ViTModel, or an image-text encoder",
        lambda kind: kind.family == OPEN_CLIP or (kind.family == TRANSFORMERS and _is_encoder(kind)),
    ),
    "image_text_matcher": (
        "a transformers BlipForImageTextRetrieval",
        lambda kind: kind.family == TRANSFORMERS and _names(kind, "BlipForImageTextRetrieval"),
    ),
    "segmenter": (
        "a Segment Anything model: one of the published checkpoints, or a folder with its config.json, of "
        "transformers too (Sam2Model, Sam3Model)",
        lambda kind: kind.family in (SAM, FILE) or (kind.family == TRANSFORMERS and _names(kind, *SAM_CLASSES)),
    ),
    "captioner": (
        "a transformers model that reads images (such as Qwen3VLForConditionalGeneration)",
        lambda kind: (
            kind.family == TRANSFORMERS and _names(kind, "ConditionalGeneration", *(["CausalLM"] * kind.reads_images))
        ),
    ),
    "inpainter": (
        "a diffusers pipeline of Stable Diffusion XL",
        lambda kind: kind.family == PIPELINE and _names(kind, "StableDiffusionXL") and "Pix2Pix" not in kind.name,
    ),
    "witness": (
        "a transformers model that reads images (such as Qwen3VLForConditionalGeneration)",
        lambda kind: WANTED["captioner"][1](kind),
    ),
    "editor": (
        f"a diffusers pipeline that edits as it is told ({', '.join(EDITING)})",
        lambda kind: kind.family == PIPELINE and (not kind.name or kind.name in EDITING),
    ),
    "image_generator": (
        "a diffusers pipeline that draws a caption (such as StableDiffusionXLPipeline or Flux2KleinPipeline)",
        lambda kind: kind.family == PIPELINE and draws_captions(kind.name),
    ),
    "verifier": (
        "a transformers image classifier (such as ResNetForImageClassification) or model that reads images",
        lambda kind: WANTED["captioner"][1](kind) or (kind.family == TRANSFORMERS and _names(kind, CLASSIFIER)),
    ),
}


def wrong_kind(settings: ModelSettings, path: Path) -> str | None:
    """Why the role cannot run what is at `path`: what it is, and what is wanted; None for what it may run."""
    kind = kind_of(path)
    if kind is None or settings.role not in WANTED:
        return None
    wanted, takes = WANTED[settings.role]
    if takes(kind):
        return None
    return f"The model {settings.model!r} is {kind}, and the role {settings.role} wants {wanted}: name such a model."


def reads_texts(path: Path) -> bool:
    """Whether what is at `path` encodes texts beside images."""
    kind = kind_of(path)
    return kind is not None and (kind.family == OPEN_CLIP or _is_dual(kind))


def segmenter_kind(path: Path) -> str | None:
    """The class of transformers that is at `path`, `Sam2Model` or `Sam3Model`; None for another format."""
    kind = kind_of(path)
    if kind is None or kind.family != TRANSFORMERS:
        return None
    return next((name for name in SAM_CLASSES if name.removesuffix("Model") in kind.name), None)


def classifies_images(path: Path) -> bool:
    """Whether what is at `path` is an image classifier of transformers."""
    kind = kind_of(path)
    return kind is not None and kind.name.endswith(CLASSIFIER)


def without_thresholds(settings: ModelSettings, path: Path) -> str | None:
    """Why an encoder's cosines cannot be compared with thresholds yet; None for one that may be used.

    One in open_clip's format goes by the recipe's, as it did before other formats were read.
    """
    if not isinstance(settings, EncoderSettings) or settings.model in THRESHOLDS or settings.calibration:
        return None
    kind = kind_of(path)
    if kind is None or kind.family == OPEN_CLIP:
        return None
    return (
        f"Of the {settings.role} {settings.model!r} no thresholds are known, and those of another encoder say nothing "
        "of its cosines: `imgdiff what-if --calibrate` proposes some from a sample."
    )


def kind_of(path: Path) -> Kind | None:
    """The kind of what is at `path`; None where its configuration tells nothing of it."""
    if path.is_file():
        return Kind(FILE)
    pipeline, config = _read(path / "model_index.json"), _read(path / "config.json")
    if pipeline is not None:
        return Kind(PIPELINE, str(pipeline.get("_class_name", "")))
    if (path / "open_clip_config.json").is_file():
        return Kind(OPEN_CLIP)
    if config is None:
        return None
    if {"image_encoder", "mask_decoder"} <= config.keys():
        return Kind(SAM)
    names = config.get("architectures") or [""]
    return Kind(TRANSFORMERS, str(names[0]), "vision_config" in config)


def _is_dual(kind: Kind) -> bool:
    return kind.name in DUAL_CLASSES


def _is_encoder(kind: Kind) -> bool:
    """One without a head: what it was trained to tell would be lost."""
    return _is_dual(kind) or (kind.name.endswith("Model") and "For" not in kind.name)


def _names(kind: Kind, *parts: str) -> bool:
    """Whether the class has one of the parts in its name, or is not named."""
    return not kind.name or any(part in kind.name for part in parts)


def _read(file: Path) -> dict[str, Any] | None:
    """A configuration; None where there is none. What is damaged is told where it is loaded."""
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) else None
