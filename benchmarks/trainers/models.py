"""The small models that readers are given."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SEED = 3
TAUGHT_STEPS = 150


def small_llava(folder: Path) -> Path:
    """A LLaVA of 1.5 million parameters with its processor, its language model of random weights.

    It is called as the models are whose layout it has, by which trainers know them. Its template says where a turn
    begins and ends, its tokenizer adds nothing to that: programs disagree about whether to ask it to.
    """
    place = folder / "llava-1.5"
    if not (place / "config.json").exists():
        import torch

        from benchmarks.teaches.model import build_model

        torch.manual_seed(SEED)
        _save(build_model(_processor()), place)
    return place


def taught_llava(folder: Path, data: Path) -> Path:
    """The same, taught by the training samples of an export in the form `hf`, so that it has answers to score."""
    place = folder / "llava-1.5-taught"
    if not (place / "config.json").exists():
        from benchmarks.teaches.finetune import BATCH, finetune, grouped
        from benchmarks.teaches.model import Asked, small
        from imgdiff_assets.training.held_out import read_items

        items = read_items(data, "train")
        asked = [Asked(tuple(map(small, item.images)), item.question, item.answer) for item in items]
        groups = _in_turn(grouped(asked), TAUGHT_STEPS * BATCH)
        _save(finetune(small_llava(folder), groups, place, SEED), place)
    return place


def _in_turn(groups: Sequence[Any], count: int) -> list[Any]:
    return [groups[number % len(groups)] for number in range(count)]


def _processor() -> Any:
    from tokenizers.processors import TemplateProcessing

    from resources.miniature.train_captioner import build_processor

    processor = build_processor()
    processor.tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="$A", pair="$A $B")
    return processor


def _save(model: Any, place: Path) -> None:
    model.save_pretrained(place)
    _processor().save_pretrained(place)


def small_clip(folder: Path) -> Path:
    """The configuration of a small CLIP, as open_clip reads it from a folder; it is trained from nothing."""
    text = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2}
    vision = {"image_size": 64, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16}
    statistics = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
    config: dict[str, Any] = {
        "model_cfg": {"embed_dim": 64, "vision_cfg": vision, "text_cfg": text},
        "preprocess_cfg": statistics,
    }
    place = folder / "clip"
    place.mkdir(parents=True, exist_ok=True)
    (place / "open_clip_config.json").write_text(json.dumps(config), encoding="utf-8")
    return place
