"""Several questions about the same images: a chat model reads the images once.

A prompt shows its images, then asks. All that a causal model computes up to the last image is the same for all
prompts that show the same images after the same words, whatever they ask. So this *head* of the prompts is run once,
and each question goes on from its keys and values: the prefix caching of inference servers (Zheng et al. 2024, arXiv
2312.07104), within a batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from resources.loading.transformers_models import answer

if TYPE_CHECKING:
    from PIL.Image import Image

CAUSAL_FAMILIES = frozenset({"llava", "llava_next", "qwen2_5_vl", "qwen3_vl"})
"""The `model_type` of models that are known to read images and text from left to right. Some others let image tokens,
or all of a prompt, see what comes after them."""


@dataclass(frozen=True, slots=True)
class Question:
    """A prompt about images, in two parts."""

    head: str  # all up to its last image
    tail: str
    images: "list[Image]"
    shown: tuple[int, ...]  # equal for the same images

    @property
    def reading(self) -> tuple[str, tuple[int, ...]]:
        """What the model has read before the rest; equal for questions that can share it."""
        return self.head, self.shown


def can_share(model: Any, questions: Sequence[Question]) -> bool:
    """Whether it is right to read the heads of these questions once, and saves anything."""
    repeats = len({question.reading for question in questions}) < len(questions)
    return repeats and model.config.model_type in CAUSAL_FAMILIES and all(question.tail for question in questions)


def answer_sharing(model: Any, processor: Any, questions: Sequence[Question], add_special_tokens: bool) -> list[str]:
    """Return the answers, as `transformers_models.answer` gives them, each head read once."""
    import torch

    from resources.loading.growing_cache import growing_cache

    tokenizer = processor.tokenizer
    first = {question.reading: question for question in reversed(questions)}
    places = {reading: place for place, reading in enumerate(first)}
    rows = torch.tensor([places[question.reading] for question in questions], device=model.device)
    seen = processor(
        text=[question.head for question in first.values()],
        images=[question.images for question in first.values()],
        padding=True,
        add_special_tokens=add_special_tokens,
        return_tensors="pt",
    ).to(model.device, model.dtype)
    # By `generate`, which numbers positions past the padding; the token that it chooses is not used.
    told = {"max_new_tokens": 1, "return_dict_in_generate": True, "tokenizer": tokenizer}
    read = model.generate(**seen, **growing_cache(model), **told)
    cache = read.past_key_values
    cache.batch_select_indices(rows)
    # Qwen's models keep here how far an image moves the positions after it.
    if getattr(model.model, "rope_deltas", None) is not None:
        model.model.rope_deltas = model.model.rope_deltas[rows]
    # The image's token is put before the rest, for the beginning of a text may be tokenized as no other place is. It
    # is hidden then, as the padding between head and rest is.
    rest = tokenizer(
        [processor.image_token + question.tail for question in questions],
        padding=True,
        add_special_tokens=False,
        return_tensors="pt",
    ).to(model.device)
    is_image = rest["input_ids"] == tokenizer.convert_tokens_to_ids(processor.image_token)
    tokens = rest["input_ids"].masked_fill(is_image, tokenizer.pad_token_id)
    inputs = {
        "input_ids": torch.cat([seen["input_ids"][rows], tokens], 1),
        "attention_mask": torch.cat([seen["attention_mask"][rows], rest["attention_mask"] * ~is_image], 1),
    }
    return answer(model, tokenizer, {**inputs, "past_key_values": cache})
