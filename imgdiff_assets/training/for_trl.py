"""What TRL is given: a script, its settings, and how weights are shared among cards."""

from collections.abc import Mapping
from typing import Any

import yaml

from imgdiff_assets.export.hf import FOR_TRL
from imgdiff_assets.training.wish import RANK, Wish

SCRIPT = f'''\
"""Train a model on image differences with TRL as --config says; words that are given beside it count more."""

from datasets import load_dataset
from trl import ModelConfig, ScriptArguments, SFTConfig, SFTTrainer, TrlParser, get_peft_config

told, settings, model = TrlParser((ScriptArguments, SFTConfig, ModelConfig)).parse_args_and_config()
train = load_dataset(told.dataset_name, split=told.dataset_train_split)
{FOR_TRL}
trainer = SFTTrainer(
    model=model.model_name_or_path,
    args=settings,
    train_dataset=for_trl.select_columns(["messages", "images"]),
    peft_config=get_peft_config(model),
)
if not model.use_peft:
    for name, weights in trainer.model.named_parameters():
        if "vision" in name or "visual" in name:
            weights.requires_grad_(False)
trainer.train()
trainer.save_model()
'''


def trl_files(wish: Wish) -> Mapping[str, str]:
    """The files by name."""
    lora = {"use_peft": True, "lora_r": RANK, "lora_alpha": 2 * RANK, "lora_target_modules": "all-linear"}
    values: dict[str, Any] = {
        "model_name_or_path": wish.model,
        "dataset_name": str(wish.folder),
        "dataset_train_split": "train",
        **({} if wish.full else lora),
        "max_length": None,  # a cut conversation would lack tokens of its images
        **wish.arguments,
        "gradient_checkpointing": True,
        "warmup_steps": 0.03,  # a share, where it is below 1
    }
    files = {"train.py": SCRIPT, "train.yaml": yaml.safe_dump(values, sort_keys=False)}
    return files | ({"zero3.yaml": yaml.safe_dump(accelerate(wish), sort_keys=False)} if _shared(wish) else {})


def accelerate(wish: Wish) -> dict[str, Any]:
    """Full training on several cards, its weights, gradients and optimiser shared among them."""
    return {
        "compute_environment": "LOCAL_MACHINE",
        "distributed_type": "DEEPSPEED",
        "deepspeed_config": {"zero_stage": 3, "zero3_init_flag": True, "zero3_save_16bit_model": True},
        "mixed_precision": "bf16",
        "num_machines": 1,
        "num_processes": wish.cards,
    }


def start_trl(wish: Wish) -> str:
    """The command that starts it."""
    cards = f"--config_file {wish.out / 'zero3.yaml'}" if _shared(wish) else f"--num_processes {wish.cards}"
    start = f"accelerate launch {cards}" if wish.cards > 1 else "python"
    return f"{start} {wish.out / 'train.py'} --config {wish.out / 'train.yaml'}"


def _shared(wish: Wish) -> bool:
    return wish.full and wish.cards > 1
