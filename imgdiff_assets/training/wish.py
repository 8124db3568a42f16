"""What is to be trained, on what: all that a trainer's configuration is written from."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imgdiff_assets.common.errors import ImgDiffError

RANK = 16
"""Of LoRA's matrices."""


class NoConfiguration(ImgDiffError, ValueError):
    """A folder that the trainer does not read, or a model that it must be told more of."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be trained: `folder` is absolute, `out` where the trainer writes; `batch` is of one card and step."""

    model: str
    folder: Path
    out: Path
    full: bool = False
    cards: int = 1
    epochs: float = 1.0
    batch: int = 1
    accumulate: int = 16
    template: str | None = None

    @property
    def learning_rate(self) -> float:
        """That of published fine-tunings: LoRA takes ten times what all weights do."""
        return 1e-5 if self.full else 1e-4

    @property
    def arguments(self) -> dict[str, Any]:
        """Those of transformers' own trainer, which trainers that build on it know by the same names."""
        return {
            "output_dir": str(self.out / "model"),
            "logging_steps": 10,
            "save_strategy": "epoch",
            "report_to": "none",
            "per_device_train_batch_size": self.batch,
            "gradient_accumulation_steps": self.accumulate,
            "learning_rate": self.learning_rate,
            "num_train_epochs": self.epochs,
            "lr_scheduler_type": "cosine",
            "bf16": True,
        }
