"""Small stand-ins of the tokenizers and text encoders that published models share: of the same classes."""

from typing import Any

from torch import nn

from resources.miniature.scenes import BACKGROUNDS, COLOURS, OBJECTS
from resources.miniature.vocabulary import build_tokenizer

Parts = dict[str, nn.Module]
WORDS = sorted({word for phrase in (*OBJECTS, *COLOURS, *BACKGROUNDS) for word in phrase.split()} | {"a", "on", "the"})
CHAT_TEMPLATE = (
    "{% for message in messages %}BEGIN{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{% if part['type'] == 'text' %}{{ part['text'] }}{% else %}IMAGE{% endif %}"
    "{% endfor %}{% endif %}END\n{% endfor %}{% if add_generation_prompt %}BEGINassistant\n{% endif %}"
)
QWEN_TOKENS = ("<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")


def byte_tokenizer() -> Any:
    """A Qwen tokenizer that spells every text byte by byte."""
    from transformers import Qwen2Tokenizer
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    vocabulary = {sign: number for number, sign in enumerate(bytes_to_unicode().values())}
    vocabulary["<|endoftext|>"] = len(vocabulary)
    tokenizer = Qwen2Tokenizer(vocab=vocabulary, merges=[])
    tokenizer.add_special_tokens({"additional_special_tokens": list(QWEN_TOKENS)})
    return tokenizer


def chat_template() -> str:
    """Qwen's turns, with a mark for each picture."""
    image = "<|vision_start|><|image_pad|><|vision_end|>"
    return CHAT_TEMPLATE.replace("BEGIN", "<|im_start|>").replace("END", "<|im_end|>").replace("IMAGE", image)


def sentence_tokenizer() -> Any:
    """A T5 tokenizer that knows the drawn world's words, and letters."""
    from transformers import T5Tokenizer

    pieces = ["<pad>", "</s>", "<unk>", "▁", *(f"▁{word}" for word in WORDS), *"abcdefghijklmnopqrstuvwxyz.,?!"]
    scores = [0.0] * 3 + [-8.0] + [-2.0] * len(WORDS) + [-10.0] * (len(pieces) - 4 - len(WORDS))
    return T5Tokenizer(vocab=list(zip(pieces, scores, strict=True)), extra_ids=0)


def clip_text(small: bool, width: int, layers: int, projects: bool = True) -> Any:
    """A CLIP text encoder of this width, as the pipelines of Stable Diffusion have."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    vocabulary: dict[str, Any] = {}
    if small:
        tokenizer = build_tokenizer(77)
        vocabulary = {"vocab_size": len(tokenizer), "bos_token_id": tokenizer.bos_token_id}
        vocabulary |= {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
        width, layers = 32 if projects or width == 768 else 64, 2
    config = CLIPTextConfig(
        **vocabulary,
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=max(width // 64, 2),
        projection_dim=width,
        hidden_act="gelu" if width == 1280 else "quick_gelu",
    )
    return (CLIPTextModelWithProjection if projects else CLIPTextModel)(config)
