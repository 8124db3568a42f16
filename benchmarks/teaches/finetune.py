"""Teaching: the stock trainer of `transformers`, for as many steps and pictures whatever it is taught with.

As LLaVA's own training does, it leaves the vision tower as it is, and goes on with single-image samples beside the
new ones, here a quarter of every batch. What is asked of the same images stands in one row, side by side; every answer
counts alike, however long it is: else of a letter and a sentence the sentence is nearly all that is learnt.
"""

import random
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.teaches.model import Asked, Encoder, load
from benchmarks.teaches.packing import by_answer, side_by_side

STEPS = 400
BATCH = 16
SINGLE_SHARE = 0.25
LEARNING_RATE = 1e-3


Group = list[Asked]
"""What is asked of the same images."""


def grouped(samples: Sequence[Asked]) -> list[Group]:
    """The samples, those of the same images together, in the order in which the images first come."""
    groups: dict[tuple[bytes, ...], Group] = {}
    for asked in samples:
        groups.setdefault(tuple(image.tobytes() for image in asked.images), []).append(asked)
    return list(groups.values())


def mixed(
    rng: random.Random, taught: Sequence[Group], single: Callable[[random.Random], Group], steps: int
) -> list[Group]:
    """The groups of all steps in order: each of `taught` as often as any other, or once more, single ones between.

    None is taught twice before all were taught once. Without `taught` all are single.
    """
    new, order = round(BATCH * (1 - SINGLE_SHARE)), list[Group]()
    batches = []
    for _ in range(steps):
        while taught and len(order) < new:
            again = list(taught)
            rng.shuffle(again)
            order += again
        batch, order = (order[:new], order[new:]) if taught else ([], order)
        batch += [single(rng) for _ in range(BATCH - len(batch))]
        rng.shuffle(batch)
        batches += batch
    return batches


def finetune(base: Path, groups: list[Group], output: Path, seed: int) -> Any:
    """Train the model in `base` on the groups in their order, BATCH a step; returns the model."""
    import torch
    from torch.utils.data import SequentialSampler
    from transformers import Trainer, TrainingArguments

    class InOrder(Trainer):
        """Takes the groups as they come: they were shuffled by seed."""

        def _get_train_sampler(self, *_: Any) -> Any:
            return SequentialSampler(groups)

    torch.manual_seed(seed)
    encoder, model = Encoder(), load(base)
    model.model.vision_tower.requires_grad_(False)
    arguments = TrainingArguments(
        output_dir=str(output),
        per_device_train_batch_size=BATCH,
        max_steps=len(groups) // BATCH,
        learning_rate=LEARNING_RATE,
        warmup_steps=20,
        lr_scheduler_type="linear",
        weight_decay=0.0,
        adam_beta2=0.98,
        max_grad_norm=1.0,
        seed=seed,
        save_strategy="no",
        report_to=[],
        logging_steps=20,
        disable_tqdm=True,
        remove_unused_columns=False,
        use_cpu=True,
        bf16=True,
    )
    trainer = InOrder(
        model=model,
        args=arguments,
        train_dataset=groups,
        data_collator=partial(side_by_side, encoder),
        compute_loss_func=by_answer,
    )
    trainer.train()
    return model.eval()
