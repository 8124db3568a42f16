"""What the roles that run transformers models share: loading them, and having chat models answer many prompts."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from resources.loading import devices
from resources.loading.failures import WeightsMissing
from resources.loading.loaded_files import is_half, weight_set
from resources.loading.settings import ChatModelSettings


def load_model(model_class: Any, folder: Path, dtype: str, device: str) -> Any:
    """Return the model saved in `folder`, without running any code it may bring: only tensors are read.

    Raises:
        WeightsMissing: the folder holds no such model.
    """
    import torch
    from transformers.utils import logging

    chosen = weight_set([file.name for file in folder.glob("*")])
    if not (folder / "config.json").is_file() or not chosen:
        raise WeightsMissing(
            f"The folder {folder} has no config.json with model*.safetensors or pytorch_model*.bin beside it: set "
            "`model` to a transformers model."
        )
    with devices.quiet_loading(logging):
        model = model_class.from_pretrained(
            folder,
            dtype=getattr(torch, dtype),
            use_safetensors=".safetensors" in chosen[0],
            variant="fp16" if is_half(chosen[0]) else None,
            weights_only=True,
            trust_remote_code=False,
        )
    return model.eval().to(device)


def prepare_to_answer(model: Any, tokenizer: Any, settings: ChatModelSettings) -> None:
    """Make `model` answer greedily, and its answers independent of how long other prompts in a batch are.

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
        max_new_tokens=settings.max_new_tokens,
        stop_strings=settings.stop or None,
        eos_token_id=tokenizer.eos_token_id if ends is None else ends,
        pad_token_id=tokenizer.pad_token_id,
    )


def answer(
    model: Any, tokenizer: Any, inputs: Mapping[str, Any], processors: Sequence[Callable[[Any, Any], Any]] = ()
) -> list[str]:
    """Return what `model` says after each prompt of a left-padded batch, up to the first of its stop strings, without
    special tokens and outer spaces.

    Each of `processors` gets the tokens so far (N, length) and the scores of the next (N, vocabulary), and returns the
    scores that the next one gets; the greedy choice follows the last.
    """
    from resources.loading.growing_cache import growing_cache

    stops = model.generation_config.stop_strings or []
    tokens = model.generate(
        **(growing_cache(model) | dict(inputs)),
        generation_config=model.generation_config,
        logits_processor=list(processors),
        tokenizer=tokenizer,
    )
    new_tokens = tokens[:, inputs["input_ids"].shape[1] :]
    return [before(text, stops).strip() for text in tokenizer.batch_decode(new_tokens, skip_special_tokens=True)]


def before(text: str, stops: Sequence[str]) -> str:
    """Return `text` up to where the first of `stops` begins."""
    return text[: min((text.index(stop) for stop in stops if stop in text), default=None)]
