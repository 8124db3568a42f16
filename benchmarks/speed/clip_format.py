"""A CLIP in open_clip's format, saved as transformers' CLIPModel: the same weights for both sides of a comparison."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor

from resources.miniature.vocabulary import build_tokenizer

BLOCK = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}
ENDS = {
    "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    "visual.class_embedding": "vision_model.embeddings.class_embedding",
    "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "visual.ln_pre.weight": "vision_model.pre_layrnorm.weight",
    "visual.ln_pre.bias": "vision_model.pre_layrnorm.bias",
    "visual.ln_post.weight": "vision_model.post_layernorm.weight",
    "visual.ln_post.bias": "vision_model.post_layernorm.bias",
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "ln_final.weight": "text_model.final_layer_norm.weight",
    "ln_final.bias": "text_model.final_layer_norm.bias",
    "logit_scale": "logit_scale",
}


def save_for_transformers(source: Path, target: Path) -> None:
    """Convert the folder `source` (open_clip, with a vision transformer) to the folder `target`, in float32.

    The other side loads what it finds in the precision that it finds it in, and a CPU is slow at half of it. The
    tokenizer is the miniature vocabulary's, of the model's length.
    """
    config = json.loads((source / "open_clip_config.json").read_text(encoding="utf-8"))
    model_cfg, preprocessing = config["model_cfg"], config["preprocess_cfg"]
    vision, text = model_cfg["vision_cfg"], model_cfg["text_cfg"]
    tokenizer = build_tokenizer(text["context_length"])
    model = CLIPModel(
        CLIPConfig(
            projection_dim=model_cfg["embed_dim"],
            vision_config={
                "hidden_size": vision["width"],
                "intermediate_size": int(vision["width"] * vision.get("mlp_ratio", 4)),
                "num_hidden_layers": vision["layers"],
                "num_attention_heads": vision["width"] // vision.get("head_width", 64),
                "image_size": vision["image_size"],
                "patch_size": vision["patch_size"],
                "hidden_act": "gelu",
            },
            text_config={
                "vocab_size": text["vocab_size"],
                "hidden_size": text["width"],
                "intermediate_size": 4 * text["width"],
                "num_hidden_layers": text["layers"],
                "num_attention_heads": text["heads"],
                "max_position_embeddings": text["context_length"],
                "hidden_act": "gelu",
                "bos_token_id": tokenizer.bos_token_id,
                "eos_token_id": tokenizer.eos_token_id,
                "pad_token_id": tokenizer.pad_token_id,
            },
        )
    )
    weights = load_file(source / "open_clip_model.safetensors")
    model.load_state_dict(_renamed(weights), strict=True)
    model.float().save_pretrained(target)
    side = vision["image_size"]
    images = CLIPImageProcessor(
        size={"height": side, "width": side},
        do_center_crop=False,
        image_mean=preprocessing["mean"],
        image_std=preprocessing["std"],
    )
    CLIPProcessor(images, tokenizer).save_pretrained(target)


def _renamed(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    renamed = {}
    for name, tensor in weights.items():
        if name in ENDS:
            renamed[ENDS[name]] = tensor
        elif name in ("visual.proj", "text_projection"):
            renamed["visual_projection.weight" if name == "visual.proj" else "text_projection.weight"] = tensor.T
        elif "resblocks." in name:
            tower = "vision_model" if name.startswith("visual.") else "text_model"
            number, _, part = name.partition("resblocks.")[2].partition(".")
            layer = f"{tower}.encoder.layers.{number}"
            if part.startswith("attn.in_proj_"):
                kind = part.removeprefix("attn.in_proj_")
                for letter, third in zip("qkv", tensor.chunk(3), strict=True):
                    renamed[f"{layer}.self_attn.{letter}_proj.{kind}"] = third
            else:
                module, _, kind = part.rpartition(".")
                renamed[f"{layer}.{BLOCK[module]}.{kind}"] = tensor
    return {name: tensor.contiguous() for name, tensor in renamed.items()}
