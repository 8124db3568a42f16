"""Encoders and segmenters of today in the format of transformers, full size or small, with random weights.

By name, what builds the untrained modules and what writes them: see `benchmarks.architectures`.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from resources.miniature.vocabulary import build_tokenizer

Parts = dict[str, nn.Module]
SMALL = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
SIDE, PATCH = 32, 8
CONTEXT = 16
SHARP = 0.3
"""Small models draw large weights: with the usual small ones all masks would be alike."""


def _siglip2(width: int, inner: int, layers: int, heads: int, side: int, patch: int) -> Callable[[bool], Parts]:
    """SigLIP 2 for pictures of one size, which is published as a SigLIP."""

    def parts(small: bool) -> Parts:
        from transformers import SiglipConfig, SiglipModel

        sizes: dict[str, Any] = {"hidden_size": width, "intermediate_size": inner}
        sizes |= {"num_hidden_layers": layers, "num_attention_heads": heads}
        text: dict[str, Any] = {"vocab_size": 256_000, "max_position_embeddings": 64}
        vision: dict[str, Any] = {"image_size": side, "patch_size": patch}
        if small:
            sizes, vision = SMALL, {"image_size": SIDE, "patch_size": PATCH}
            text = _tokens()
        return {"model": SiglipModel(SiglipConfig(text_config=sizes | text, vision_config=sizes | vision))}

    return parts


def small_naflex() -> nn.Module:
    """A small SigLIP 2 for pictures of any shape."""
    from transformers import Siglip2Config, Siglip2Model

    vision = {**SMALL, "num_patches": 16, "patch_size": PATCH}
    return Siglip2Model(Siglip2Config(text_config={**SMALL, **_tokens()}, vision_config=vision))


def small_clip() -> nn.Module:
    """A small CLIP in the format of transformers."""
    from transformers import CLIPConfig, CLIPModel

    vision = {**SMALL, "image_size": SIDE, "patch_size": PATCH}
    return CLIPModel(CLIPConfig(text_config={**SMALL, **_tokens()}, vision_config=vision, projection_dim=16))


def _tokens() -> dict[str, Any]:
    tokenizer = build_tokenizer(CONTEXT)
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    return {"vocab_size": len(tokenizer), "max_position_embeddings": CONTEXT, "pad_token_id": 0, **ids}


def save_dual(parts: Parts, folder: Path) -> None:
    """An encoder of pictures and texts with a tokenizer and an image processor."""
    from transformers import CLIPImageProcessor, Siglip2ImageProcessor, SiglipImageProcessor

    model = parts["model"]
    kind, square = model.config.model_type, {"height": SIDE, "width": SIDE}
    processor = {
        "siglip": lambda: SiglipImageProcessor(size=square),
        "siglip2": lambda: Siglip2ImageProcessor(patch_size=PATCH, max_num_patches=16),
        "clip": lambda: CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size=square),
    }[kind]()
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    build_tokenizer(CONTEXT).save_pretrained(folder)


def _dinov3(width: int, layers: int, heads: int, small: bool) -> Parts:
    from transformers import DINOv3ViTConfig, DINOv3ViTModel

    sizes: dict[str, Any] = {"hidden_size": width, "intermediate_size": 4 * width, "num_hidden_layers": layers}
    sizes |= {"num_attention_heads": heads, "image_size": 224, "patch_size": 16}
    if small:
        sizes = {**SMALL, "image_size": SIDE, "patch_size": PATCH}
    return {"model": DINOv3ViTModel(DINOv3ViTConfig(**sizes, num_register_tokens=4))}


def _save_dinov3(parts: Parts, folder: Path) -> None:
    from transformers import DINOv3ViTImageProcessor

    parts["model"].save_pretrained(folder)
    DINOv3ViTImageProcessor(size={"height": SIDE, "width": SIDE}).save_pretrained(folder)


def _sam2(small: bool) -> Parts:
    """The large one of SAM 2.1."""
    from transformers import Sam2Config, Sam2Model

    backbone: dict[str, Any] = {"model_type": "sam2_hiera_det_model", "hidden_size": 144, "num_attention_heads": 2}
    backbone |= {"blocks_per_stage": [2, 6, 36, 4], "global_attention_blocks": [23, 33, 43]}
    backbone |= {"embed_dim_per_stage": [144, 288, 576, 1152], "num_attention_heads_per_stage": [2, 4, 8, 16]}
    backbone |= {"window_size_per_stage": [8, 4, 16, 8], "window_positional_embedding_background_size": [7, 7]}
    vision: dict[str, Any] = {"backbone_channel_list": [1152, 576, 288, 144]}
    others: dict[str, Any] = {}
    if small:
        backbone |= {"hidden_size": 8, "num_attention_heads": 1, "image_size": [64, 64]}
        backbone |= {"blocks_per_stage": [1, 1, 2, 1], "global_attention_blocks": [3]}
        backbone |= {"embed_dim_per_stage": [8, 16, 32, 64], "num_attention_heads_per_stage": [1, 1, 1, 1]}
        backbone |= {"window_size_per_stage": [4] * 4, "window_positional_embedding_background_size": [2, 2]}
        vision = {"backbone_channel_list": [64, 32, 16, 8], "fpn_hidden_size": 16}
        vision |= {"backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]]}
        decoder = {"hidden_size": 16, "mlp_dim": 32, "num_attention_heads": 2, "iou_head_hidden_dim": 16}
        others = {"prompt_encoder_config": {"hidden_size": 16, "image_size": 64}, "mask_decoder_config": decoder}
    model = Sam2Model(Sam2Config(vision_config={"backbone_config": backbone, **vision}, **others))
    if small:
        for name, parameter in model.mask_decoder.named_parameters():
            nn.init.normal_(parameter, std=SHARP if "iou" in name else 2 * SHARP)
    return {"model": model}


def _save_sam2(parts: Parts, folder: Path) -> None:
    from transformers import Sam2ImageProcessor

    side = parts["model"].config.prompt_encoder_config.image_size
    parts["model"].save_pretrained(folder)
    Sam2ImageProcessor(size={"height": side, "width": side}).save_pretrained(folder)


def _sam3(small: bool) -> Parts:
    from transformers import Sam3Config, Sam3Model

    if not small:
        return {"model": Sam3Model(Sam3Config())}
    few = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "num_layers": 1}
    backbone: dict[str, Any] = {**SMALL, "num_hidden_layers": 2, "model_type": "sam3_vit_model", "image_size": 56}
    backbone |= {"patch_size": 14, "window_size": 2, "global_attn_indexes": [1], "pretrain_image_size": 28}
    feature_sizes = [[16, 16], [8, 8], [4, 4]]
    config = Sam3Config(
        vision_config={"backbone_config": backbone, "backbone_feature_sizes": feature_sizes, "fpn_hidden_size": 16},
        text_config={**SMALL, **_tokens(), "projection_dim": 16},
        geometry_encoder_config=few,
        detr_encoder_config=few,
        detr_decoder_config={**few, "num_queries": 12},
        mask_decoder_config={"hidden_size": 16, "num_attention_heads": 2},
    )
    model = Sam3Model(config)
    for parameter in model.detr_decoder.parameters():
        nn.init.normal_(parameter, std=SHARP)
    return {"model": model}


def _save_sam3(parts: Parts, folder: Path) -> None:
    from transformers import Sam3ImageProcessor

    side = parts["model"].config.vision_config.backbone_config.image_size
    parts["model"].save_pretrained(folder)
    Sam3ImageProcessor(size={"height": side, "width": side}).save_pretrained(folder)
    build_tokenizer(CONTEXT).save_pretrained(folder)


VISION: dict[str, tuple[Callable[[bool], Parts], Callable[[Parts, Path], None]]] = {
    "google/siglip2-base-patch16-224": (_siglip2(768, 3072, 12, 12, 224, 16), save_dual),
    "google/siglip2-so400m-patch14-384": (_siglip2(1152, 4304, 27, 16, 384, 14), save_dual),
    "facebook/dinov3-vitb16-pretrain-lvd1689m": (partial(_dinov3, 768, 12, 12), _save_dinov3),
    "facebook/dinov3-vitl16-pretrain-lvd1689m": (partial(_dinov3, 1024, 24, 16), _save_dinov3),
    "facebook/sam2.1-hiera-large": (_sam2, _save_sam2),
    "facebook/sam3": (_sam3, _save_sam3),
}
