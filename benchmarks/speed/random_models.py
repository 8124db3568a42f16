"""Models with random weights, from published configurations or small ones, saved as their users' checkpoints are.

`SMALL` are for a CPU; `BASE` are what a CPU still bears of published sizes: SAM ViT-B, CLIP ViT-B/32, BLIP base (ITM,
COCO), and a LLaVA of the small parts that there are (a ViT-B/14 at 336², a language model of 12 layers of 768); `FULL`
are SDXL base 1.0, SAM ViT-H, CLIP ViT-B/32, BLIP large (ITM, COCO) and LLaVA-1.5 7B.
Random weights cost what trained ones cost; what they make is noise.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    BlipConfig,
    BlipForImageTextRetrieval,
    BlipImageProcessor,
    BlipProcessor,
    CLIPImageProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from resources.loading import weights
from resources.miniature.vocabulary import build_tokenizer
from resources.segmenter import build_sam

Config = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Sizes:
    """The configurations of all models of one size."""

    unet: Config
    text_encoders: tuple[Config, Config]
    autoencoder_channels: tuple[int, ...]
    sam: Config
    encoder: Config  # open_clip's `model_cfg`
    matcher: Config  # the two towers of BLIP
    captioner: Config  # the two towers of LLaVA
    dtype: torch.dtype


def _sam(side: int, width: int, depth: int, heads: int, global_layers: list[int]) -> Config:
    """SAM's own prompt encoder and mask decoder over an image encoder of some size."""
    grid = side // 16
    return {
        "image_encoder": {
            "img_size": side,
            "patch_size": 16,
            "embed_dim": width,
            "depth": depth,
            "num_heads": heads,
            "mlp_ratio": 4,
            "out_chans": 256,
            "qkv_bias": True,
            "use_rel_pos": True,
            "window_size": 14,
            "global_attn_indexes": global_layers,
        },
        "prompt_encoder": {
            "embed_dim": 256,
            "image_embedding_size": [grid, grid],
            "input_image_size": [side, side],
            "mask_in_chans": 16,
        },
        "transformer": {"depth": 2, "embedding_dim": 256, "mlp_dim": 2048, "num_heads": 8},
        "mask_decoder": {"transformer_dim": 256, "iou_head_depth": 3, "iou_head_hidden_dim": 256},
        "pixel_mean": [123.675, 116.28, 103.53],
        "pixel_std": [58.395, 57.12, 57.375],
    }


def _text(width: int, layers: int, heads: int, activation: str) -> Config:
    return {
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "hidden_act": activation,
        "projection_dim": width,
    }


SMALL = Sizes(
    # SDXL's plan and width of heads, with a fifth of its channels and of its depth.
    unet={
        "block_out_channels": (64, 128, 256),
        "transformer_layers_per_block": (1, 1, 2),
        "attention_head_dim": (1, 2, 4),
        "cross_attention_dim": 192,
        "norm_num_groups": 16,
        "addition_time_embed_dim": 64,
    },
    text_encoders=(_text(64, 2, 2, "quick_gelu"), _text(128, 2, 2, "gelu")),
    autoencoder_channels=(16, 16, 16, 16),
    sam=_sam(side=512, width=192, depth=4, heads=3, global_layers=[1, 3]),
    encoder={
        "embed_dim": 128,
        "vision_cfg": {"image_size": 224, "patch_size": 32, "width": 384, "layers": 6, "head_width": 64},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 256, "heads": 4, "layers": 4},
    },
    matcher={
        "vision": {"hidden_size": 384, "intermediate_size": 1536, "num_hidden_layers": 6, "num_attention_heads": 6},
        "text": {"hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 4, "num_attention_heads": 4},
        "image_size": 224,
    },
    captioner={
        "vision": {"hidden_size": 192, "intermediate_size": 768, "num_hidden_layers": 4, "num_attention_heads": 3},
        "text": {"hidden_size": 256, "intermediate_size": 768, "num_hidden_layers": 4, "num_attention_heads": 4},
        "image_size": 112,
    },
    dtype=torch.float32,
)

TINY = replace(SMALL, sam=_sam(side=64, width=192, depth=1, heads=3, global_layers=[0]))
"""To see that all runs."""

BASE = replace(
    SMALL,
    sam=_sam(side=1024, width=768, depth=12, heads=12, global_layers=[2, 5, 8, 11]),
    encoder={
        "embed_dim": 512,
        "vision_cfg": {"image_size": 224, "patch_size": 32, "width": 768, "layers": 12},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 512, "heads": 8, "layers": 12},
    },
    matcher={
        "vision": {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12},
        "text": {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12},
        "image_size": 384,
    },
    captioner={
        "vision": {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12},
        "text": {"hidden_size": 768, "intermediate_size": 2048, "num_hidden_layers": 12, "num_attention_heads": 12},
        "image_size": 336,
    },
)

FULL = Sizes(
    unet={
        "block_out_channels": (320, 640, 1280),
        "transformer_layers_per_block": (1, 2, 10),
        "attention_head_dim": (5, 10, 20),
        "cross_attention_dim": 2048,
        "norm_num_groups": 32,
        "addition_time_embed_dim": 256,
    },
    text_encoders=(_text(768, 12, 12, "quick_gelu"), _text(1280, 32, 20, "gelu")),
    autoencoder_channels=(128, 256, 512, 512),
    sam=_sam(side=1024, width=1280, depth=32, heads=16, global_layers=[7, 15, 23, 31]),
    encoder=BASE.encoder,
    matcher={
        "vision": {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16},
        "text": {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12},
        "image_size": 384,
    },
    captioner={
        "vision": {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16},
        "text": {"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32},
        "image_size": 336,
    },
    dtype=torch.float16,
)


def save_pair_generator(folder: Path, sizes: Sizes) -> None:
    """A saved StableDiffusionXLPipeline: 128 × 128 latents, as SDXL's at 1024 × 1024 pixels."""
    tokenizer = build_tokenizer(77)
    marks = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    first, second = (CLIPTextConfig(vocab_size=49408, **config, **marks) for config in sizes.text_encoders)
    levels = len(sizes.autoencoder_channels)
    with _device():
        unet = UNet2DConditionModel(
            sample_size=128,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            use_linear_projection=True,
            addition_embed_type="text_time",
            projection_class_embeddings_input_dim=second.projection_dim + 6 * sizes.unet["addition_time_embed_dim"],
            **sizes.unet,
        ).to(sizes.dtype)
        autoencoder = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * levels,
            up_block_types=("UpDecoderBlock2D",) * levels,
            block_out_channels=sizes.autoencoder_channels,
            norm_num_groups=min(32, sizes.autoencoder_channels[0] // 4),
            layers_per_block=2 if sizes is FULL else 1,
            force_upcast=False,
        ).to(sizes.dtype)
        encoders = CLIPTextModel(first).to(sizes.dtype), CLIPTextModelWithProjection(second).to(sizes.dtype)
    StableDiffusionXLPipeline(
        vae=autoencoder,
        text_encoder=encoders[0],
        text_encoder_2=encoders[1],
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=unet,
        scheduler=EulerDiscreteScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear"),
        add_watermarker=False,
    ).save_pretrained(folder)


def save_segmenter(folder: Path, sizes: Sizes) -> None:
    """A folder with `config.json` and `model.safetensors`, as the role loads it."""
    folder.mkdir(parents=True)
    with _device():
        sam = build_sam(sizes.sam)
        # Predicted qualities around a half, where a threshold can part them.
        torch.nn.init.constant_(sam.mask_decoder.iou_prediction_head.layers[-1].bias, 0.5)
        # Logits as far from each other as trained ones.
        for brush in sam.mask_decoder.output_hypernetworks_mlps:
            brush.layers[-1].weight.data *= 50
    (folder / "config.json").write_text(json.dumps(sizes.sam), encoding="utf-8")
    save_file(sam.state_dict(), folder / "model.safetensors")


def save_encoder(folder: Path, sizes: Sizes) -> None:
    """A folder in open_clip's format."""
    from open_clip import CLIP

    folder.mkdir(parents=True)
    with _device():
        model = CLIP(**sizes.encoder).to(sizes.dtype)
    half = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"}
    config = {"model_cfg": sizes.encoder, "preprocess_cfg": half}
    (folder / "open_clip_config.json").write_text(json.dumps(config), encoding="utf-8")
    save_file(
        {name: tensor.contiguous() for name, tensor in model.state_dict().items()},
        folder / "open_clip_model.safetensors",
    )


def save_matcher(folder: Path, sizes: Sizes) -> None:
    """A saved BlipForImageTextRetrieval with its processor, over the vocabulary of the miniature one."""
    tokenizer = BlipProcessor.from_pretrained(weights.locate("miniature:image_text_matcher")).tokenizer
    side = sizes.matcher["image_size"]
    marks = {"bos_token_id": 2, "eos_token_id": 3, "sep_token_id": 3, "pad_token_id": 0}
    width = sizes.matcher["vision"]["hidden_size"]
    config = BlipConfig(
        text_config={"vocab_size": 30524, "encoder_hidden_size": width, **sizes.matcher["text"], **marks},
        vision_config={"image_size": side, "patch_size": 16, **sizes.matcher["vision"]},
        image_text_hidden_size=256,
    )
    with _device():
        model = BlipForImageTextRetrieval(config).to(sizes.dtype)
    model.save_pretrained(folder)
    BlipProcessor(BlipImageProcessor(size={"height": side, "width": side}), tokenizer).save_pretrained(folder)


def save_captioner(folder: Path, sizes: Sizes) -> None:
    """A saved LlavaForConditionalGeneration with its processor, whose answers are letters and never end early.

    Its tokens are bytes, so that every text comes out as it went in.
    """
    side, patch = sizes.captioner["image_size"], 14
    vocabulary = {
        token: number for number, token in enumerate([*sorted(pre_tokenizers.ByteLevel.alphabet()), "</s>", "<image>"])
    }
    backend = Tokenizer(models.BPE(vocabulary, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>", pad_token="</s>")
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    image = vocabulary["<image>"]
    marks = {"bos_token_id": None, "eos_token_id": vocabulary["</s>"], "pad_token_id": vocabulary["</s>"]}
    config = LlavaConfig(
        vision_config={
            "model_type": "clip_vision_model",
            "image_size": side,
            "patch_size": patch,
            **sizes.captioner["vision"],
        },
        text_config={
            "model_type": "llama",
            "vocab_size": 32064,
            "max_position_embeddings": 4096,
            **sizes.captioner["text"],
            **marks,
        },
        image_token_id=image,
        vision_feature_select_strategy="default",
    )
    with _device():
        model = LlavaForConditionalGeneration(config).to(sizes.dtype)
    letters = torch.tensor([number for token, number in vocabulary.items() if "a" <= token <= "z"])
    with torch.no_grad():
        head = model.lm_head.weight
        kept = head[letters].clone()
        head.zero_()
        head[letters] = kept
        # Larger than usual, that answers may depend on questions.
        model.get_input_embeddings().weight *= 50
    model.save_pretrained(folder)
    LlavaProcessor(
        CLIPImageProcessor(size={"height": side, "width": side}, do_center_crop=False),
        tokenizer,
        patch_size=patch,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=CHAT_TEMPLATE,
        image_token="<image>",
    ).save_pretrained(folder)


CHAT_TEMPLATE = (
    "{% for message in messages %}USER: {% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>\n{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %} ASSISTANT: {% endfor %}"
)


def _device() -> torch.device:
    """Where the weights are drawn: billions of them take a CPU long."""
    torch.manual_seed(0)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
