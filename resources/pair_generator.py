"""Prompt pairs to image pairs: Stable Diffusion XL under Prompt-to-Prompt control."""

import copy
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from resources.attention.local_blend import LocalBlend
from resources.attention.prompt_edits import PromptEdit, edit_prompt
from resources.attention.prompt_to_prompt import EditWindows, generate_pairs
from resources.attention.shortcuts import Shortcuts
from resources.loading.diffusion_pipelines import compile_blocks, load_pipeline, to_pixels
from resources.loading.settings import ModelSettings


class PairGeneratorSettings(ModelSettings):
    """`model` is a saved `StableDiffusionXLPipeline`; its scheduler is used as it was saved."""

    role: ClassVar[str] = "pair_generator"

    image_size: int = Field(
        default=1024, ge=8, multiple_of=8, description="Height and width of the images, in pixels."
    )
    num_inference_steps: int = Field(
        default=50,
        ge=1,
        description="Denoising steps; with `guidance_scale` 0 a distilled model (SDXL-Turbo, Lightning, LCM) needs "
        "1 to 8.",
    )
    guidance_scale: float = Field(
        default=7.5, ge=0, description="Weight of classifier-free guidance; up to 1 there is none."
    )
    edit: Literal["auto", "replace", "refine"] = Field(
        default="auto",
        description="Swapped words read the attention of the words they replace, or keep their own (`refine`); "
        "`auto` replaces where words are only swapped and refines where some are added or removed.",
    )
    cross_replace_steps: float = Field(
        default=0.8,
        ge=0,
        le=1,
        description="Fraction of the steps, from the first, with the source's cross-attention.",
    )
    self_replace_steps: float = Field(
        default=0.4, ge=0, le=1, description="Fraction of the steps, from the first, with the source's self-attention."
    )
    self_replace_max_pixels: int = Field(
        default=32 * 32, ge=0, description="Self-attention layers over more positions than this keep the target's own."
    )
    changed_word_weight: float = Field(
        default=1.0, ge=0, description="Factor on the attention paid to the words that only the target prompt has."
    )
    local_blend_threshold: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Share of the strongest attention to the changed words below which a pixel stays the source's "
        "(0.3 is usual); 0 leaves every pixel to the target.",
    )
    local_blend_start: float = Field(
        default=0.2, ge=0, le=1, description="Fraction of the steps, from the first, that pass without local blend."
    )
    shared_steps: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Fraction of the steps, from the first, in which the target is the source and costs nothing.",
    )
    guidance_steps: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="Fraction of the steps, from the first, with guidance; a step without it costs half.",
    )
    inner_blocks_every: int = Field(
        default=1,
        ge=1,
        description="Of so many steps, only the first computes the UNet's inner blocks, which cost most; the others "
        "go on from their last result (DeepCache). 1 computes them always.",
    )
    compile: bool = Field(
        default=False,
        description="Compile the UNet's transformer blocks with torch.compile: the first batch of each size takes "
        "minutes longer, so it is for many batches on a GPU. Needs a C++ compiler, on a GPU Triton too.",
    )

    def identity(self) -> dict[str, Any]:
        """Everything a picture depends on; in half precision also how noise is drawn, for some sizes once another."""
        fields = super().identity()
        always_so = self.dtype == "float32" or self.image_size % 16 == 0
        return fields if always_so else {**fields, "noise": "float32"}


class PairGenerator:
    """A loaded pipeline that makes pairs of images that are alike but for what their prompts differ in."""

    def __init__(self, settings: PairGeneratorSettings) -> None:
        """Load the pipeline.

        Raises:
            WeightsMissing: the weights are not on this machine, or are not a saved diffusers pipeline.
            ModelUnavailable: it is to be compiled, but this machine cannot.
        """
        from diffusers import StableDiffusionXLPipeline

        self.settings = settings
        self.pipeline: Any = load_pipeline(StableDiffusionXLPipeline, settings)
        self._prepare_image_decoder()
        if settings.compile:
            compile_blocks(self.pipeline.unet)

    def _prepare_image_decoder(self) -> None:
        """Decode in float32 where the decoder overflows in float16."""
        import torch

        decoder = self.pipeline.vae
        if decoder.config.force_upcast and decoder.dtype == torch.float16:
            decoder.to(torch.float32)
            # The pipeline hands over latents of its own type.
            first = decoder.post_quant_conv if decoder.post_quant_conv is not None else decoder.decoder
            first.register_forward_pre_hook(lambda module, arguments: (arguments[0].float(), *arguments[1:]))

    def generate(
        self, source_captions: Sequence[str], target_captions: Sequence[str], seeds: Sequence[int]
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return the source images and the target images, each (N, height, width, 3).

        Both images of a pair start from the noise that its own seed draws on the CPU, so a pair depends on its
        captions and seed only, not on the pairs beside it. Captions longer than the text encoders read are cut.
        """
        if not len(source_captions) == len(target_captions) == len(seeds):
            raise ValueError(
                f"A pair is a source caption, a target caption and a seed, but there are {len(source_captions)}, "
                f"{len(target_captions)} and {len(seeds)} of them."
            )
        images: list[NDArray[np.uint8]] = []
        start = 0
        while start < len(seeds):
            rows = slice(start, start + self._next_batch_size(len(seeds) - start))
            images.append(self._generate_batch(source_captions[rows], target_captions[rows], seeds[rows]))
            start = rows.stop
        size = self.settings.image_size
        both = np.concatenate(images, axis=1) if images else np.empty((2, 0, size, size, 3), np.uint8)
        return both[0], both[1]

    def varied(self, **changes: float) -> "PairGenerator":
        """Return one with other settings of how pairs are drawn, over the same loaded pipeline."""
        other = copy.copy(self)
        other.settings = self.settings.model_copy(update=changes)
        return other

    def reconstruct(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return a picture (H, W, 3) as the autoencoder gives it back: into the latent space, and out of it."""
        import torch

        vae = self.pipeline.vae
        step = 2 ** (len(vae.config.block_out_channels) - 1)
        height, width = picture.shape[:2]
        # The autoencoder takes whole steps; what is added beyond the edge is cut off again.
        whole = np.pad(picture, ((0, -height % step), (0, -width % step), (0, 0)), mode="edge")
        values = torch.from_numpy(whole).permute(2, 0, 1)[None].float() / 127.5 - 1
        with torch.inference_mode():
            latents = vae.encode(values.to(vae.device, vae.dtype)).latent_dist.mode()
            seen = vae.decode(latents).sample[0].float().cpu()
        pixels: NDArray[np.uint8] = ((seen.permute(1, 2, 0).clamp(-1, 1) + 1) * 127.5).round().numpy().astype(np.uint8)
        return pixels[:height, :width]

    def _next_batch_size(self, left: int) -> int:
        """How many of the pairs that are left come next."""
        size = min(left, self.settings.batch_size)
        if self.settings.compile and size < self.settings.batch_size:
            # Every size is compiled for itself, so there are to be few: a power of two, and the rest after it.
            return 1 << (size.bit_length() - 1)
        return size

    def _generate_batch(
        self, source_captions: Sequence[str], target_captions: Sequence[str], seeds: Sequence[int]
    ) -> NDArray[np.uint8]:
        """Return the images of one batch, (2, N, height, width, 3): sources, targets."""
        import torch

        settings = self.settings
        output = generate_pairs(
            self.pipeline,
            source_captions,
            target_captions,
            [self._edit(source, target) for source, target in zip(source_captions, target_captions, strict=True)],
            EditWindows(settings.cross_replace_steps, settings.self_replace_steps, settings.self_replace_max_pixels),
            LocalBlend(settings.local_blend_threshold, settings.local_blend_start)
            if settings.local_blend_threshold
            else None,
            Shortcuts(settings.shared_steps, settings.guidance_steps, settings.inner_blocks_every),
            # One generator per image: also the noise that some schedulers add later is the pair's own, on both sides.
            generator=[torch.Generator("cpu").manual_seed(seed) for seed in (*seeds, *seeds)],
            height=settings.image_size,
            width=settings.image_size,
            num_inference_steps=settings.num_inference_steps,
            guidance_scale=settings.guidance_scale,
            output_type="np",
        )
        images = to_pixels(output.images, settings)
        return images.reshape(2, len(seeds), *images.shape[1:])

    def _edit(self, source: str, target: str) -> PromptEdit:
        tokenizers = [each for each in (self.pipeline.tokenizer, self.pipeline.tokenizer_2) if each is not None]
        edit = edit_prompt(tokenizers, source, target, self.settings.edit)
        return edit.reweighted(np.where(edit.changed, self.settings.changed_word_weight, 1))
