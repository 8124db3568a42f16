"""The published models that draw and edit pictures, full size or small: more of `benchmarks.architectures`.

The full configurations are those that diffusers and the publishers state; a small one differs in sizes only.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.small_parts import Parts, byte_tokenizer, chat_template, clip_text, sentence_tokenizer
from resources.miniature.vocabulary import build_tokenizer

SHARP = {"initializer_range": 0.3}
"""As in `benchmarks.architectures`."""

SMALL_TEXT = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, **SHARP}
ROPE = [2, 4, 2]
"""Of a head of eight numbers: time, height and width."""


def _autoencoder(small: bool, channels: int = 16) -> Any:
    """The 16-channel autoencoder of FLUX.1, which Stable Diffusion 3.5 and Z-Image have too."""
    from diffusers import AutoencoderKL

    widths: tuple[int, ...] = (4, 4) if small else (128, 256, 512, 512)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * len(widths),
        up_block_types=("UpDecoderBlock2D",) * len(widths),
        block_out_channels=widths,
        layers_per_block=1 if small else 2,
        latent_channels=channels,
        norm_num_groups=2 if small else 32,
        scaling_factor=0.3611,
        shift_factor=0.1159,
        use_quant_conv=False,
        use_post_quant_conv=False,
        sample_size=16 if small else 1024,
    )


def _flow() -> Any:
    from diffusers import FlowMatchEulerDiscreteScheduler

    return FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True)


def _qwen3(small: bool) -> Any:
    from transformers import Qwen3Config, Qwen3ForCausalLM

    sizes: dict[str, Any] = {"vocab_size": 151936, "hidden_size": 2560, "intermediate_size": 9728, "head_dim": 128}
    sizes |= {"num_hidden_layers": 36, "num_attention_heads": 32, "num_key_value_heads": 8}
    if small:
        # Pipelines read the 27th layer.
        sizes = {**SMALL_TEXT, "vocab_size": len(byte_tokenizer()), "head_dim": 8, "num_key_value_heads": 1}
        sizes |= {"num_hidden_layers": 28, "bos_token_id": None, "eos_token_id": None}
    return Qwen3ForCausalLM(Qwen3Config(**sizes, tie_word_embeddings=True))


def _qwen25_vl(small: bool) -> Any:
    """Qwen2.5-VL-7B, which Qwen-Image and LongCat-Image read instructions and pictures with."""
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    text: dict[str, Any] = {"vocab_size": 152064, "hidden_size": 3584, "intermediate_size": 18944}
    text |= {"num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4}
    text |= {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]}}
    vision: dict[str, Any] = {"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16}
    vision |= {"out_hidden_size": 3584}
    tokens: dict[str, Any] = {}
    if small:
        tokenizer = byte_tokenizer()
        text = {**SMALL_TEXT, "vocab_size": len(tokenizer), "num_hidden_layers": 2, "num_key_value_heads": 1}
        text["rope_parameters"] = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 1, 1]}
        vision = {"depth": 2, "hidden_size": 16, "intermediate_size": 32, "num_heads": 2, "out_hidden_size": 16}
        vision |= {"fullatt_block_indexes": [1], **SHARP}
        names = ("vision_start", "vision_end", "image_pad", "video_pad")
        ids = [tokenizer.convert_tokens_to_ids(f"<|{name}|>") for name in names]
        fields = ("vision_start_token_id", "vision_end_token_id", "image_token_id", "video_token_id")
        tokens = dict(zip(fields, ids, strict=True))
    config = Qwen2_5_VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=False, **tokens)
    return Qwen2_5_VLForConditionalGeneration(config)


def _vl_processor() -> Any:
    from transformers import Qwen2VLImageProcessor, Qwen2VLProcessor, Qwen2VLVideoProcessor

    limits = {"shortest_edge": 56 * 56, "longest_edge": 112 * 112}
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = chat_template()
    return Qwen2VLProcessor(
        Qwen2VLImageProcessor(size=limits), tokenizer, Qwen2VLVideoProcessor(size=limits), chat_template()
    )


def _t5(small: bool) -> Any:
    from transformers import T5Config, T5EncoderModel

    sizes: dict[str, Any] = {"vocab_size": 32128, "d_model": 4096, "d_kv": 64, "d_ff": 10240, "num_layers": 24}
    sizes |= {"num_heads": 64}
    if small:
        sizes = {"vocab_size": len(sentence_tokenizer()), "d_model": 32, "d_kv": 8, "d_ff": 32, "num_layers": 2}
        sizes |= {"num_heads": 4}
    return T5EncoderModel(T5Config(**sizes, feed_forward_proj="gated-gelu", tie_word_embeddings=False))


def klein(small: bool) -> Parts:
    """FLUX.2 [klein] 4B."""
    from diffusers import AutoencoderKLFlux2, Flux2Transformer2DModel

    transformer: dict[str, Any] = {"num_layers": 5, "num_single_layers": 20, "num_attention_heads": 24}
    transformer |= {"joint_attention_dim": 3 * 2560, "guidance_embeds": False}
    vae: dict[str, Any] = {}
    if small:
        transformer = {"patch_size": 1, "in_channels": 16, "num_layers": 1, "num_single_layers": 1}
        transformer |= {"attention_head_dim": 16, "num_attention_heads": 2, "joint_attention_dim": 48}
        transformer |= {"axes_dims_rope": [4, 4, 4, 4], "guidance_embeds": False}
        vae = {"block_out_channels": (4,), "latent_channels": 4, "norm_num_groups": 2, "layers_per_block": 1}
        vae |= {"down_block_types": ("DownEncoderBlock2D",), "up_block_types": ("UpDecoderBlock2D",)}
    return {
        "transformer": Flux2Transformer2DModel(**transformer),
        "vae": AutoencoderKLFlux2(**vae),
        "text_encoder": _qwen3(small),
    }


def save_klein(parts: Parts, folder: Path) -> None:
    """As Black Forest Labs publish it: distilled to four steps."""
    from diffusers import Flux2KleinPipeline

    tokenizer = byte_tokenizer()
    tokenizer.chat_template = chat_template()
    Flux2KleinPipeline(**parts, tokenizer=tokenizer, scheduler=_flow(), is_distilled=True).save_pretrained(folder)


def qwen_image(small: bool) -> Parts:
    """Qwen-Image, and with `zero_cond_t` or without Qwen-Image-Edit."""
    from diffusers import AutoencoderKLQwenImage, QwenImageTransformer2DModel

    transformer: dict[str, Any] = {}
    vae: dict[str, Any] = {}
    if small:
        transformer = {"in_channels": 16, "out_channels": 4, "num_layers": 1, "attention_head_dim": 8}
        transformer |= {"num_attention_heads": 2, "joint_attention_dim": 16, "axes_dims_rope": tuple(ROPE)}
        vae = {"base_dim": 4, "z_dim": 4, "dim_mult": [1, 1, 1, 1], "num_res_blocks": 1}
        vae |= {"latents_mean": [0.0] * 4, "latents_std": [1.0] * 4}
    return {
        "transformer": QwenImageTransformer2DModel(**transformer),
        "vae": AutoencoderKLQwenImage(**vae),
        "text_encoder": _qwen25_vl(small),
    }


def save_qwen_image(parts: Parts, folder: Path) -> None:
    from diffusers import QwenImagePipeline

    QwenImagePipeline(**parts, tokenizer=byte_tokenizer(), scheduler=_flow()).save_pretrained(folder)


def save_qwen_image_edit(parts: Parts, folder: Path) -> None:
    from diffusers import QwenImageEditPlusPipeline

    tools = {"tokenizer": byte_tokenizer(), "processor": _vl_processor(), "scheduler": _flow()}
    QwenImageEditPlusPipeline(**parts, **tools).save_pretrained(folder)


def longcat(small: bool) -> Parts:
    """LongCat-Image-Edit."""
    from diffusers import LongCatImageTransformer2DModel

    transformer: dict[str, Any] = {"num_layers": 10, "num_single_layers": 20}
    if small:
        transformer = {"num_layers": 1, "num_single_layers": 1, "attention_head_dim": 8, "num_attention_heads": 2}
        transformer |= {"joint_attention_dim": 16, "pooled_projection_dim": 16, "axes_dims_rope": ROPE}
    return {
        "transformer": LongCatImageTransformer2DModel(**transformer),
        "vae": _autoencoder(small),
        "text_encoder": _qwen25_vl(small),
    }


def save_longcat(parts: Parts, folder: Path) -> None:
    from diffusers import LongCatImageEditPipeline

    tools = {"tokenizer": byte_tokenizer(), "text_processor": _vl_processor(), "scheduler": _flow()}
    LongCatImageEditPipeline(**parts, **tools).save_pretrained(folder)


def kontext(small: bool) -> Parts:
    """FLUX.1 Kontext [dev]."""
    from diffusers import FluxTransformer2DModel

    transformer: dict[str, Any] = {"guidance_embeds": True}
    if small:
        transformer |= {"num_layers": 1, "num_single_layers": 1, "attention_head_dim": 8, "num_attention_heads": 2}
        transformer |= {"joint_attention_dim": 32, "pooled_projection_dim": 32, "axes_dims_rope": ROPE}
    return {
        "transformer": FluxTransformer2DModel(**transformer),
        "vae": _autoencoder(small),
        "text_encoder": clip_text(small, 768, 12, projects=False),
        "text_encoder_2": _t5(small),
    }


def save_kontext(parts: Parts, folder: Path) -> None:
    from diffusers import FluxKontextPipeline

    tools = {"tokenizer": build_tokenizer(77), "tokenizer_2": sentence_tokenizer(), "scheduler": _flow()}
    FluxKontextPipeline(**parts, **tools).save_pretrained(folder)


def stable_diffusion_3(small: bool) -> Parts:
    """Stable Diffusion 3.5 Medium."""
    from diffusers import SD3Transformer2DModel

    transformer: dict[str, Any] = {"num_layers": 24, "num_attention_heads": 24, "caption_projection_dim": 1536}
    transformer |= {"dual_attention_layers": tuple(range(13)), "qk_norm": "rms_norm", "pos_embed_max_size": 384}
    if small:
        transformer = {"num_layers": 2, "attention_head_dim": 8, "num_attention_heads": 2, "sample_size": 8}
        transformer |= {"caption_projection_dim": 16, "joint_attention_dim": 32, "pooled_projection_dim": 64}
        transformer |= {"dual_attention_layers": (0,), "qk_norm": "rms_norm", "pos_embed_max_size": 16}
    return {
        "transformer": SD3Transformer2DModel(**transformer),
        "vae": _autoencoder(small),
        "text_encoder": clip_text(small, 768, 12),
        "text_encoder_2": clip_text(small, 1280, 32),
        "text_encoder_3": _t5(small),
    }


def save_stable_diffusion_3(parts: Parts, folder: Path) -> None:
    from diffusers import FlowMatchEulerDiscreteScheduler, StableDiffusion3Pipeline

    tokenizers = {"tokenizer": build_tokenizer(77), "tokenizer_2": build_tokenizer(77)}
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    pipeline = StableDiffusion3Pipeline(**parts, **tokenizers, tokenizer_3=sentence_tokenizer(), scheduler=scheduler)
    pipeline.save_pretrained(folder)


def z_image(small: bool) -> Parts:
    """Z-Image-Turbo."""
    from diffusers import ZImageTransformer2DModel

    transformer: dict[str, Any] = {}
    if small:
        transformer = {"dim": 16, "n_layers": 1, "n_refiner_layers": 1, "n_heads": 2, "n_kv_heads": 2}
        transformer |= {"cap_feat_dim": 16, "axes_dims": ROPE, "axes_lens": [1024, 64, 64]}
    return {
        "transformer": ZImageTransformer2DModel(**transformer),
        "vae": _autoencoder(small),
        "text_encoder": _qwen3(small),
    }


def save_z_image(parts: Parts, folder: Path) -> None:
    from diffusers import FlowMatchEulerDiscreteScheduler, ZImagePipeline

    tokenizer = byte_tokenizer()
    tokenizer.chat_template = chat_template()
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    ZImagePipeline(**parts, tokenizer=tokenizer, scheduler=scheduler).save_pretrained(folder)


IMAGE_MODELS: dict[str, tuple[Callable[[bool], Parts], Callable[[Parts, Path], None]]] = {
    "black-forest-labs/FLUX.2-klein-4B": (klein, save_klein),
    "Qwen/Qwen-Image-Edit-2511": (qwen_image, save_qwen_image_edit),
    "Qwen/Qwen-Image": (qwen_image, save_qwen_image),
    "meituan-longcat/LongCat-Image-Edit": (longcat, save_longcat),
    "black-forest-labs/FLUX.1-Kontext-dev": (kontext, save_kontext),
    "stabilityai/stable-diffusion-3.5-medium": (stable_diffusion_3, save_stable_diffusion_3),
    "Tongyi-MAI/Z-Image-Turbo": (z_image, save_z_image),
}
