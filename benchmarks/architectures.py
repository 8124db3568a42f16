"""The published architectures with random weights, full size or small, saved as their publishers lay them out.

Weights are not needed to know that a checkpoint loads, how large it is and how fast it runs. The full configurations
are the published ones; a small one differs in sizes only. Tokenizers and chat templates are small stand-ins of the
same classes, for a vocabulary cannot be made up.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.image_architectures import IMAGE_MODELS
from benchmarks.small_parts import CHAT_TEMPLATE, WORDS, Parts, byte_tokenizer, chat_template
from benchmarks.vision_architectures import VISION
from resources.miniature.vocabulary import build_tokenizer


@dataclass(frozen=True, slots=True)
class Architecture:
    """`parts(small)` builds the untrained modules on torch's default device; `save(parts, folder)` writes them."""

    parts: Callable[[bool], Parts]
    save: Callable[[Parts, Path], None]


def parameter_counts(name: str) -> dict[str, int]:
    """Return the parameters of each part at full size, counted on the meta device: nothing is allocated."""
    with torch.device("meta"):
        return {part: _count(module) for part, module in ARCHITECTURES[name].parts(False).items()}


def save(name: str, folder: Path, small: bool = True, dtype: torch.dtype = torch.float32, seed: int = 0) -> Path:
    """Write the architecture with random weights and return what a role's `model` names: `folder`, or a file in it."""
    torch.manual_seed(seed)
    parts = ARCHITECTURES[name].parts(small)
    for module in parts.values():
        # diffusers warns of any change of type, also of none.
        if dtype != torch.float32:
            module.to(dtype)
    ARCHITECTURES[name].save(parts, folder)
    return folder / name if (folder / name).is_file() else folder


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _stable_diffusion_xl(small: bool, in_channels: int = 4) -> Parts:
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    vocabulary: dict[str, Any] = {}
    widths, heads, first, second, autoencoder, steps = (320, 640, 1280), (5, 10, 20), 768, 1280, 128, 256
    layers, upper_layers, side, groups, transformers = 12, 32, 128, 32, (1, 2, 10)
    if small:
        tokenizer = build_tokenizer(77)
        vocabulary = {"vocab_size": len(tokenizer), "bos_token_id": tokenizer.bos_token_id}
        vocabulary |= {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
        widths, heads, first, second, autoencoder, steps = (16, 32, 32), (2, 4, 4), 32, 64, 8, 8
        layers, upper_layers, side, groups, transformers = 2, 2, 8, 4, (1, 1, 1)
    text = CLIPTextConfig(
        **vocabulary,
        hidden_size=first,
        intermediate_size=4 * first,
        num_hidden_layers=layers,
        num_attention_heads=max(first // 64, 2),
        projection_dim=first,
        hidden_act="quick_gelu",
    )
    text_2 = CLIPTextConfig(
        **vocabulary,
        hidden_size=second,
        intermediate_size=4 * second,
        num_hidden_layers=upper_layers,
        num_attention_heads=max(second // 64, 2),
        projection_dim=second,
        hidden_act="gelu",
    )
    unet = UNet2DConditionModel(
        in_channels=in_channels,
        sample_size=side,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=widths,
        transformer_layers_per_block=transformers,
        attention_head_dim=heads,
        cross_attention_dim=first + second,
        use_linear_projection=True,
        norm_num_groups=groups,
        addition_embed_type="text_time",
        addition_time_embed_dim=steps,
        projection_class_embeddings_input_dim=second + 6 * steps,
    )
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(autoencoder, 2 * autoencoder, 4 * autoencoder, 4 * autoencoder),
        layers_per_block=2,
        norm_num_groups=groups,
        sample_size=8 * side,
        scaling_factor=0.13025,
    )
    return {
        "unet": unet,
        "vae": vae,
        "text_encoder": CLIPTextModel(text),
        "text_encoder_2": CLIPTextModelWithProjection(text_2),
    }


def _save_stable_diffusion_xl(parts: Parts, folder: Path, pipeline_class: str = "StableDiffusionXLPipeline") -> None:
    import diffusers
    from diffusers import EulerDiscreteScheduler

    scheduler = EulerDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        timestep_spacing="leading",
        steps_offset=1,
    )
    tokenizers = {"tokenizer": build_tokenizer(77), "tokenizer_2": build_tokenizer(77)}
    pipeline = getattr(diffusers, pipeline_class)(**parts, **tokenizers, scheduler=scheduler, add_watermarker=False)
    variant = "fp16" if next(parts["unet"].parameters()).dtype == torch.float16 else None
    pipeline.save_pretrained(folder, variant=variant)


def _clip(small: bool) -> Parts:
    from open_clip.model import CLIP

    return {"model": CLIP(**_clip_config(small))}


def _clip_config(small: bool) -> dict[str, Any]:
    import open_clip

    config = dict(open_clip.get_model_config("ViT-B-32-quickgelu"))
    if small:
        config |= {"embed_dim": 32}
        config["vision_cfg"] = {"image_size": 32, "layers": 2, "width": 64, "patch_size": 16, "head_width": 32}
        config["text_cfg"] = {**config["text_cfg"], "width": 32, "heads": 2, "layers": 2}
    return config


def _save_clip(parts: Parts, folder: Path) -> None:
    import open_clip
    from open_clip.model import set_model_preprocess_cfg
    from open_clip.push_to_hf_hub import save_config_for_hf
    from safetensors.torch import save_model

    folder.mkdir(parents=True, exist_ok=True)
    published = open_clip.get_pretrained_cfg("ViT-B-32-quickgelu", "openai")
    side = parts["model"].visual.image_size[0]
    looks = {"size": side, "mode": "RGB", "resize_mode": "shortest", "fill_color": 0}
    set_model_preprocess_cfg(
        parts["model"], {**looks, **{name: published[name] for name in ("mean", "std", "interpolation")}}
    )
    save_config_for_hf(parts["model"], folder / "open_clip_config.json", _clip_config(side == 32))
    save_model(parts["model"], str(folder / "open_clip_model.safetensors"))


def _blip(small: bool) -> Parts:
    from transformers import BlipConfig, BlipForImageTextRetrieval, BlipTextConfig, BlipVisionConfig

    vision: dict[str, Any] = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24}
    vision |= {"num_attention_heads": 16, "image_size": 384, "patch_size": 16}
    text: dict[str, Any] = {"vocab_size": 30524, "encoder_hidden_size": 1024}
    if small:
        sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
        vision |= {**sizes, "image_size": 32}
        text = {**sizes, "vocab_size": 200, "encoder_hidden_size": 32}
    config = BlipConfig(
        text_config=BlipTextConfig(**text),
        vision_config=BlipVisionConfig(**vision),
        image_text_hidden_size=16 if small else 256,
    )
    return {"model": BlipForImageTextRetrieval(config)}


def _save_blip(parts: Parts, folder: Path) -> None:
    from transformers import BertTokenizer, BlipImageProcessor, BlipProcessor

    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz.,?!", *WORDS]
    tokenizer = BertTokenizer(vocab={word: number for number, word in enumerate(dict.fromkeys(vocabulary))})
    side = parts["model"].config.vision_config.image_size
    parts["model"].save_pretrained(folder)
    BlipProcessor(BlipImageProcessor(size={"height": side, "width": side}), tokenizer).save_pretrained(folder)


def _sam(kind: str) -> Callable[[bool], Parts]:
    def parts(small: bool) -> Parts:
        from segment_anything import sam_model_registry

        return {"model": small_sam() if small else sam_model_registry[kind]()}

    return parts


def small_sam() -> nn.Module:
    """Return a SAM of a few thousand parameters. segment_anything has no name for it: tests register it as one."""
    from resources.segmenter import build_sam

    return build_sam(
        {
            "image_encoder": {
                "depth": 2,
                "embed_dim": 32,
                "img_size": 64,
                "num_heads": 2,
                "patch_size": 16,
                "use_rel_pos": True,
                "global_attn_indexes": [1],
                "window_size": 2,
                "out_chans": 16,
            },
            "prompt_encoder": {
                "embed_dim": 16,
                "image_embedding_size": [4, 4],
                "input_image_size": [64, 64],
                "mask_in_chans": 4,
            },
            "mask_decoder": {"transformer_dim": 16, "iou_head_hidden_dim": 16},
            "transformer": {"depth": 2, "embedding_dim": 16, "mlp_dim": 32, "num_heads": 2},
            "pixel_mean": [123.675, 116.28, 103.53],
            "pixel_std": [58.395, 57.12, 57.375],
        }
    )


def _save_sam(name: str) -> Callable[[Parts, Path], None]:
    def write(parts: Parts, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        torch.save(parts["model"].state_dict(), folder / name)

    return write


SHARP = {"initializer_range": 0.3}
"""Small models draw large weights, for with the usual small ones all next words would be about equally likely."""

SMALL_VOCABULARY = 320
LLAMA_13B = {"hidden_size": 5120, "intermediate_size": 13824, "num_hidden_layers": 40, "num_attention_heads": 40}
LLAMA_7B = {"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32}
SMALL_TEXT = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, **SHARP}


def _vicuna(small: bool) -> Parts:
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = {**SMALL_TEXT, "vocab_size": SMALL_VOCABULARY} if small else LLAMA_13B
    return {"model": LlamaForCausalLM(LlamaConfig(**sizes, max_position_embeddings=4096))}


def _save_vicuna(parts: Parts, folder: Path) -> None:
    """As lmsys publishes it: pickled weights, a sentencepiece model, no chat template."""
    parts["model"].save_pretrained(folder)
    (folder / "model.safetensors").unlink(missing_ok=True)
    for index in folder.glob("*.safetensors*"):
        index.unlink()
    torch.save(parts["model"].state_dict(), folder / "pytorch_model.bin")
    _train_sentencepiece(folder)


def _train_sentencepiece(folder: Path) -> None:
    import io
    import json

    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([f"{word} " * 4 for word in WORDS]),
        model_writer=model,
        model_type="bpe",
        vocab_size=SMALL_VOCABULARY,
        byte_fallback=True,
        minloglevel=2,
    )
    (folder / "tokenizer.model").write_bytes(model.getvalue())
    config = {"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    config |= {"add_bos_token": True, "add_eos_token": False, "legacy": False}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")


def _llava_next(text: dict[str, Any]) -> Callable[[bool], Parts]:
    def parts(small: bool) -> Parts:
        from transformers import CLIPVisionConfig, LlamaConfig, LlavaNextConfig, LlavaNextForConditionalGeneration

        vision: dict[str, Any] = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24}
        vision |= {"num_attention_heads": 16, "image_size": 336, "patch_size": 14, "projection_dim": 768}
        language, token, pinpoints = {**text, "vocab_size": 32064, "max_position_embeddings": 4096}, 32000, None
        if small:
            vision |= {**SMALL_TEXT, "image_size": 16, "patch_size": 4, "projection_dim": 16}
            language, token = {**SMALL_TEXT, "vocab_size": _llama_tokenizer().vocab_size + 8}, _image_token()
            pinpoints = [[16, 32], [32, 16], [32, 32]]
        config = LlavaNextConfig(
            vision_config=CLIPVisionConfig(**vision),
            text_config=LlamaConfig(**language),
            image_token_index=token,
            image_grid_pinpoints=pinpoints,
        )
        return {"model": LlavaNextForConditionalGeneration(config)}

    return parts


def _llama_tokenizer() -> Any:
    from transformers import LlamaTokenizer

    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", *map(chr, range(33, 127))]
    tokenizer = LlamaTokenizer(vocab={piece: number for number, piece in enumerate(pieces)}, merges=[])
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"], "pad_token": "<pad>"})
    return tokenizer


def _image_token() -> int:
    number: int = _llama_tokenizer().convert_tokens_to_ids("<image>")
    return number


def _save_llava_next(parts: Parts, folder: Path) -> None:
    from transformers import LlavaNextImageProcessor, LlavaNextProcessor

    model = parts["model"]
    side = model.config.vision_config.image_size
    images = LlavaNextImageProcessor(
        size={"shortest_edge": side},
        crop_size={"height": side, "width": side},
        image_grid_pinpoints=model.config.image_grid_pinpoints,
    )
    model.save_pretrained(folder)
    LlavaNextProcessor(
        images,
        _llama_tokenizer(),
        patch_size=model.config.vision_config.patch_size,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=CHAT_TEMPLATE.replace("BEGIN", "<s>").replace("END", "</s>").replace("IMAGE", "<image>\n"),
    ).save_pretrained(folder)


def _qwen3(small: bool) -> Parts:
    from transformers import Qwen3Config, Qwen3ForCausalLM

    sizes: dict[str, Any] = {"vocab_size": 151936, "hidden_size": 2560, "intermediate_size": 9728, "head_dim": 128}
    sizes |= {"num_hidden_layers": 36, "num_attention_heads": 32, "num_key_value_heads": 8}
    if small:
        tokenizer = byte_tokenizer()
        sizes = {**SMALL_TEXT, "vocab_size": len(tokenizer), "head_dim": 16, "num_key_value_heads": 1}
        sizes |= {"eos_token_id": tokenizer.convert_tokens_to_ids("<|im_end|>"), "bos_token_id": None}
    return {"model": Qwen3ForCausalLM(Qwen3Config(**sizes, tie_word_embeddings=True))}


def _save_qwen3(parts: Parts, folder: Path) -> None:
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = chat_template()
    parts["model"].save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _qwen3_vl(small: bool) -> Parts:
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    text: dict[str, Any] = {"hidden_size": 4096, "intermediate_size": 12288, "num_hidden_layers": 36}
    text |= {"num_attention_heads": 32, "num_key_value_heads": 8, "max_position_embeddings": 262144}
    text |= {"rope_parameters": {"rope_type": "default", "rope_theta": 5e6, "mrope_section": [24, 20, 20]}}
    vision: dict[str, Any] = {"out_hidden_size": 4096}
    tokens: dict[str, Any] = {}
    if small:
        tokenizer = byte_tokenizer()
        text |= {**SMALL_TEXT, "head_dim": 16, "num_key_value_heads": 1, "vocab_size": len(tokenizer)}
        text |= {"eos_token_id": tokenizer.convert_tokens_to_ids("<|im_end|>")}
        text["rope_parameters"] = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [4, 2, 2]}
        vision = {"depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "out_hidden_size": 32}
        vision |= {"patch_size": 4, "num_position_embeddings": 16, "deepstack_visual_indexes": [0], **SHARP}
        names = ("vision_start", "vision_end", "image_pad", "video_pad")
        ids = [tokenizer.convert_tokens_to_ids(f"<|{name}|>") for name in names]
        fields = ("vision_start_token_id", "vision_end_token_id", "image_token_id", "video_token_id")
        tokens = dict(zip(fields, ids, strict=True))
    return {"model": Qwen3VLForConditionalGeneration(Qwen3VLConfig(text_config=text, vision_config=vision, **tokens))}


def _save_qwen3_vl(parts: Parts, folder: Path) -> None:
    from transformers import Qwen2VLImageProcessor, Qwen3VLProcessor, Qwen3VLVideoProcessor

    patch = parts["model"].config.vision_config.patch_size
    sizes = {"patch_size": patch, "merge_size": 2, "temporal_patch_size": 2}
    limits = {"shortest_edge": (4 * patch) ** 2, "longest_edge": (16 * patch) ** 2}
    normal = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    parts["model"].save_pretrained(folder)
    Qwen3VLProcessor(
        Qwen2VLImageProcessor(size=limits, **sizes, **normal),
        byte_tokenizer(),
        Qwen3VLVideoProcessor(size=limits, **sizes, **normal),
        chat_template=chat_template(),
    ).save_pretrained(folder)


ARCHITECTURES: dict[str, Architecture] = {
    "stabilityai/stable-diffusion-xl-base-1.0": Architecture(_stable_diffusion_xl, _save_stable_diffusion_xl),
    "stabilityai/sdxl-turbo": Architecture(_stable_diffusion_xl, _save_stable_diffusion_xl),
    "diffusers/stable-diffusion-xl-1.0-inpainting-0.1": Architecture(
        # Beside the noise it sees the mask and what is outside of it.
        partial(_stable_diffusion_xl, in_channels=9),
        _save_stable_diffusion_xl,
    ),
    "timm/vit_base_patch32_clip_224.openai": Architecture(_clip, _save_clip),
    "Salesforce/blip-itm-large-coco": Architecture(_blip, _save_blip),
    **{
        name: Architecture(_sam(kind), _save_sam(name))
        for kind, name in (
            ("vit_b", "sam_vit_b_01ec64.pth"),
            ("vit_l", "sam_vit_l_0b3195.pth"),
            ("vit_h", "sam_vit_h_4b8939.pth"),
        )
    },
    "lmsys/vicuna-13b-v1.5": Architecture(_vicuna, _save_vicuna),
    "llava-hf/llava-v1.6-vicuna-7b-hf": Architecture(_llava_next(LLAMA_7B), _save_llava_next),
    "llava-hf/llava-v1.6-vicuna-13b-hf": Architecture(_llava_next(LLAMA_13B), _save_llava_next),
    "Qwen/Qwen3-4B-Instruct-2507": Architecture(_qwen3, _save_qwen3),
    "Qwen/Qwen3-VL-8B-Instruct": Architecture(_qwen3_vl, _save_qwen3_vl),
    "diffusers/sdxl-instructpix2pix-768": Architecture(
        # Beside the noise it sees the picture that is to be changed.
        partial(_stable_diffusion_xl, in_channels=8),
        partial(_save_stable_diffusion_xl, pipeline_class="StableDiffusionXLInstructPix2PixPipeline"),
    ),
    **{name: Architecture(*how) for name, how in IMAGE_MODELS.items()},
    **{name: Architecture(*made) for name, made in VISION.items()},
}
