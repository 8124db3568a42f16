"""Configurations of trainers: what each is given to train a model on an exported folder, LoRA or full, on cards."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from imgdiff_assets.common.own_output import MARKER
from imgdiff_assets.export.formats import formats
from imgdiff_assets.training.for_trl import start_trl, trl_files
from imgdiff_assets.training.wish import RANK, NoConfiguration, Wish

LONGEST = 8_192
"""Tokens of a conversation. Two images of 1024 x 1024 are 2,600 in a Qwen2-VL, more than trainers' own 2,048."""

MOST_PIXELS = 1_048_576


@dataclass(frozen=True, slots=True)
class Trainer:
    """`write` gives the files by name, and `command` starts it."""

    name: str
    write: Callable[[Wish], Mapping[str, str]]
    command: Callable[[Wish], str]

    @property
    def reads(self) -> str:
        """The format of export that it is given, which says so itself."""
        return next(name for name, form in formats().items() if form.trainer == self.name)


TEMPLATES: Mapping[str, str] = {
    "qwen2.5-vl": "qwen2_vl",
    "qwen2-vl": "qwen2_vl",
    "qwen3-vl": "qwen3_vl",
    "llava-1.5": "llava",
    "llava-v1.6-mistral": "llava_next_mistral",
    "llava-v1.6-vicuna": "llava_next",
    "internvl3": "intern_vl",
    "internvl2": "intern_vl",
    "gemma-3": "gemma3",
    "pixtral": "pixtral",
}
"""What LLaMA-Factory calls the chat template of a model, by a part of the model's name."""


def _template(wish: Wish) -> str:
    if wish.template:
        return wish.template
    known = (template for part, template in TEMPLATES.items() if part in wish.model.lower())
    found = next(known, None)
    if found is None:
        raise NoConfiguration(
            f"{wish.model}: LLaMA-Factory must be told the chat template: --template, one of its own such as "
            f"{', '.join(dict.fromkeys(TEMPLATES.values()))}."
        )
    return found


def _llama_factory(wish: Wish) -> dict[str, str]:
    values: dict[str, Any] = {
        "model_name_or_path": wish.model,
        "image_max_pixels": MOST_PIXELS,
        "trust_remote_code": False,
        "stage": "sft",
        "do_train": True,
        "finetuning_type": "full" if wish.full else "lora",
        **({"freeze_vision_tower": True} if wish.full else {"lora_rank": RANK, "lora_target": "all"}),
        **({"deepspeed": "zero3.json"} if wish.full and wish.cards > 1 else {}),
        "dataset_dir": str(wish.folder),
        "dataset": "imgdiff_train",
        **({"eval_dataset": "imgdiff_validation"} if _has(wish, "validation.json") else {}),
        "template": _template(wish),
        "cutoff_len": LONGEST,
        "preprocessing_num_workers": 8,
        **wish.arguments,
        "warmup_ratio": 0.03,
    }
    files = {"train.yaml": yaml.safe_dump(values, sort_keys=False)}
    return files | ({"zero3.json": json.dumps(ZERO3, indent=1) + "\n"} if "deepspeed" in values else {})


def _swift(wish: Wish) -> dict[str, str]:
    words = [
        f"--model {wish.model}",
        f"--dataset {wish.folder / 'train.jsonl'}",
        *([f"--val_dataset {wish.folder / 'validation.jsonl'}"] if _has(wish, "validation.jsonl") else []),
        *(
            ["--tuner_type full", "--freeze_vit true"]
            if wish.full
            else ["--tuner_type lora", f"--lora_rank {RANK}", "--target_modules all-linear"]
        ),
        *(["--deepspeed zero3"] if wish.full and wish.cards > 1 else []),
        f"--max_length {LONGEST}",
        "--torch_dtype bfloat16",
        f"--num_train_epochs {wish.epochs:g}",
        f"--per_device_train_batch_size {wish.batch}",
        f"--gradient_accumulation_steps {wish.accumulate}",
        f"--learning_rate {wish.learning_rate:g}",
        "--warmup_ratio 0.03",
        "--logging_steps 10",
        "--save_strategy epoch",
        f"--output_dir {wish.out / 'model'}",
    ]
    lines = " \\\n  ".join(["swift sft", *words, '"$@"'])
    cards = f"NPROC_PER_NODE={wish.cards} CUDA_VISIBLE_DEVICES={','.join(map(str, range(wish.cards)))}"
    return {
        "train.sh": "#!/bin/sh\n# Longer conversations than --max_length are left out, not cut. "
        "Words that are given to this count more.\n"
        f"export MAX_PIXELS={MOST_PIXELS}\n{cards} {lines}\n"
    }


ZERO3 = {
    "train_batch_size": "auto",
    "train_micro_batch_size_per_gpu": "auto",
    "gradient_accumulation_steps": "auto",
    "gradient_clipping": "auto",
    "bf16": {"enabled": "auto"},
    "zero_optimization": {
        "stage": 3,
        "overlap_comm": True,
        "contiguous_gradients": True,
        "stage3_gather_16bit_weights_on_model_save": True,
    },
}


def _start_llama_factory(wish: Wish) -> str:
    cards = "FORCE_TORCHRUN=1 " if wish.cards > 1 else ""
    place = f"cd {wish.out} && " if wish.full and wish.cards > 1 else ""
    return f"{place}{cards}llamafactory-cli train {wish.out / 'train.yaml'}"


TRAINERS: Mapping[str, Trainer] = {
    trainer.name: trainer
    for trainer in (
        Trainer("llama-factory", _llama_factory, _start_llama_factory),
        Trainer("ms-swift", _swift, lambda wish: f"sh {wish.out / 'train.sh'}"),
        Trainer("trl", trl_files, start_trl),
    )
}


def write_config(name: str, wish: Wish) -> list[Path]:
    """Write the trainer's configuration into `wish.out`; returns its files. Raises NoConfiguration, OSError."""
    trainer = TRAINERS[name]
    check_folder(trainer, wish.folder)
    files = trainer.write(wish)
    wish.out.mkdir(parents=True, exist_ok=True)
    for file, text in files.items():
        (wish.out / file).write_text(text, encoding="utf-8")
    return [wish.out / file for file in files]


def check_folder(trainer: Trainer, folder: Path) -> None:
    """Raises NoConfiguration for what is no export, or one that the trainer does not read."""
    try:
        form = json.loads((folder / MARKER).read_text(encoding="utf-8"))["format"]
    except (OSError, ValueError, KeyError, TypeError):
        raise NoConfiguration(f"{folder}: is no exported folder; `imgdiff export` makes one.") from None
    if form != trainer.reads:
        raise NoConfiguration(
            f"{folder}: is of the format {form}, and {trainer.name} reads {trainer.reads}: "
            f"imgdiff export --format {trainer.reads} --out FOLDER"
        )


def _has(wish: Wish, file: str) -> bool:
    return (wish.folder / file).exists()
