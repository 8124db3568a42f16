"""What transformers' chat models have in common here: how their answers are generated and read."""

from collections.abc import Mapping, Sequence
from typing import Any


def prepare(model: Any, tokenizer: Any, max_new_tokens: int) -> None:
    """Make `model` answer greedily and batches of it independent of one another's lengths.

    Everything else in the model's own generation settings (its temperature, its penalties) is dropped: only what the
    recipe says shapes an answer. Prompts are padded on the left, so that every answer begins right after its prompt.
    """
    from transformers import GenerationConfig

    tokenizer.padding_side = "left"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    ends = model.generation_config.eos_token_id
    model.generation_config = GenerationConfig(
        do_sample=False,
        max_new_tokens=max_new_tokens,
        eos_token_id=tokenizer.eos_token_id if ends is None else ends,
        pad_token_id=tokenizer.pad_token_id,
    )


def answer(model: Any, tokenizer: Any, inputs: Mapping[str, Any], sampler: Any = None) -> list[str]:
    """Return what `model` says after each prompt of a left-padded batch, without special tokens and outer spaces.

    `sampler`, if given, turns the scores of the next tokens (N, vocabulary) into those the greedy choice follows.
    """
    tokens = model.generate(
        **inputs, generation_config=model.generation_config, logits_processor=[] if sampler is None else [sampler]
    )
    new_tokens: Sequence[Any] = tokens[:, inputs["input_ids"].shape[1] :]
    return [text.strip() for text in tokenizer.batch_decode(new_tokens, skip_special_tokens=True)]
