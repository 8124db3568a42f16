"""The small model that is taught: a LLaVA whose language model reads the patches of both images in one sequence.

Its vision tower begins as the miniature captioner's, its language model as nothing. Processor, vocabulary and chat
template are the captioner's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import LlamaConfig, LlavaConfig, LlavaForConditionalGeneration, LlavaProcessor

from imgdiff_assets.common.aliases import Pixels
from resources.images.crops import squash
from resources.miniature.train import WEIGHTS
from resources.miniature.train_captioner import IMAGE, IMAGE_TOKENS, MEAN, SIDE, STD, build_processor

WIDTH, INNER, HEADS, LAYERS = 128, 352, 4, 5
LONGEST = 256
IGNORED = -100


@dataclass(frozen=True, slots=True)
class Asked:
    """A question about one image or two, each (SIDE, SIDE, 3) uint8, and the answer that is right, or is taught."""

    images: tuple[Pixels, ...]
    question: str
    answer: str
    further: tuple[tuple[str, str], ...] = ()
    """Questions about the same images, and their answers, in the same conversation."""


def build_model(processor: LlavaProcessor) -> LlavaForConditionalGeneration:
    """1.7 million parameters: the captioner's vision tower, and a language model of random weights."""
    captioner = LlavaForConditionalGeneration.from_pretrained(WEIGHTS / "captioner", dtype=torch.float32)
    tokenizer = processor.tokenizer
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=INNER,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS,
        num_hidden_layers=LAYERS,
        max_position_embeddings=LONGEST,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config=captioner.config.vision_config,
            text_config=text,
            image_token_id=tokenizer.convert_tokens_to_ids(IMAGE),
            vision_feature_layer=-1,
            vision_feature_select_strategy="default",
        )
    )
    model.model.vision_tower.load_state_dict(captioner.model.vision_tower.state_dict())
    return model


def save(model: LlavaForConditionalGeneration, folder: Path) -> None:
    """Model and processor, as `from_pretrained` reads them."""
    model.save_pretrained(folder)
    build_processor().save_pretrained(folder)


def load(folder: Path) -> LlavaForConditionalGeneration:
    """The model in float32, with the attention that is fastest on a CPU. Raises OSError where there is none."""
    return LlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")


def small(image: Pixels) -> Pixels:
    """An image of any size as the model sees it, (SIDE, SIDE, 3) uint8."""
    seen = squash([image], (SIDE, SIDE), [0.0] * 3, [1.0] * 3)[0]
    return np.asarray((seen.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy())


def pixels(images: Sequence[Pixels]) -> Tensor:
    """Images of (SIDE, SIDE, 3) uint8 as float32 (N, 3, SIDE, SIDE), normalised."""
    values = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
    return (values - MEAN[0]) / STD[0]


class Encoder:
    """Questions with answers, or without, as what the model reads."""

    def __init__(self) -> None:
        self.processor = build_processor()
        self.tokenizer = self.processor.tokenizer

    def prompt(self, images: int, question: str) -> str:
        """The text before an answer."""
        content = [{"type": "image"}] * images + [{"type": "text", "text": question}]
        text: str = self.processor.apply_chat_template([{"role": "user", "content": content}], tokenize=False)
        return text.replace(IMAGE, IMAGE * IMAGE_TOKENS)

    def ids(self, text: str) -> list[int]:
        """Its tokens, without marks of beginning and end."""
        tokens: list[int] = self.tokenizer(text, add_special_tokens=False).input_ids
        return tokens

    def taught(self, asked: Asked) -> tuple[list[int], list[int]]:
        """Tokens of question and answer, and the labels: only the answers are learnt, with the end of their turns."""
        end = [self.tokenizer.eos_token_id]
        ids, labels = [], []
        for number, (question, answer) in enumerate([(asked.question, asked.answer), *asked.further]):
            before = self.ids(question) + end if number else self.ids(self.prompt(len(asked.images), question))
            after = self.ids(answer) + end
            ids += before + after
            labels += [IGNORED] * len(before) + after
        return ids, labels

    def batch(self, samples: Sequence[Asked]) -> dict[str, Tensor]:
        """What a trainer feeds the model: padded on the right."""
        texts = [self.taught(asked) for asked in samples]
        longest = max(len(ids) for ids, _ in texts)
        padding = self.tokenizer.pad_token_id

        def padded(row: list[int], value: int) -> list[int]:
            return row + [value] * (longest - len(row))

        return {
            "input_ids": torch.tensor([padded(ids, padding) for ids, _ in texts]),
            "attention_mask": torch.tensor([padded([1] * len(ids), 0) for ids, _ in texts]),
            "labels": torch.tensor([padded(labels, IGNORED) for _, labels in texts]),
            "pixel_values": pixels([image for asked in samples for image in asked.images]),
        }


@torch.inference_mode()
def choose(model: Any, encoder: Encoder, samples: Sequence[Asked], choices: Sequence[str], size: int = 64) -> Tensor:
    """How much the model is inclined to each choice, float32 (samples, choices): logits of the choices' first token.

    The samples' own answers are not looked at; all have as many images.
    """
    first = [encoder.ids(choice)[0] for choice in choices]
    found = []
    for start in range(0, len(samples), size):
        batch = _prompts(encoder, samples[start : start + size])
        found.append(model(**batch, logits_to_keep=1).logits[:, -1, first])
    return torch.cat(found)


@torch.inference_mode()
def say(model: Any, encoder: Encoder, samples: Sequence[Asked], longest: int = 28, size: int = 64) -> list[str]:
    """What the model answers, greedily; all samples have as many images."""
    said = []
    for start in range(0, len(samples), size):
        batch = _prompts(encoder, samples[start : start + size])
        made = model.generate(**batch, max_new_tokens=longest, do_sample=False)
        said += encoder.tokenizer.batch_decode(made[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
    return [text.strip() for text in said]


def _prompts(encoder: Encoder, samples: Sequence[Asked]) -> dict[str, Tensor]:
    """Padded on the left, so that what is said next stands at the end of every row."""
    rows = [encoder.ids(encoder.prompt(len(asked.images), asked.question)) for asked in samples]
    longest, padding = max(map(len, rows)), encoder.tokenizer.pad_token_id
    return {
        "input_ids": torch.tensor([[padding] * (longest - len(row)) + row for row in rows]),
        "attention_mask": torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows]),
        "pixel_values": pixels([image for asked in samples for image in asked.images]),
    }
