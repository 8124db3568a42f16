"""What goes between the driver and a worker: orders and batches there, answers back."""

import pickle
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from imgdiff_assets.engine.measurer import Results, Task
from imgdiff_assets.engine.shard_work import Sources
from resources.loading.settings import ModelSettings

OF_THE_SYSTEM = ("errno", "strerror", "filename")


@dataclass(frozen=True, slots=True)
class Order:
    """A measurement over a shard, in words that another process understands; `number` tells it from others.

    `models` are the settings of its roles, `identities` what the driver knows them by.
    """

    number: int
    stage: str
    step: str
    version: int
    sources: Sources
    settings: Mapping[str, Any]
    models: Mapping[str, ModelSettings]
    identities: Mapping[str, Mapping[str, Any]]
    batch_size: int

    @classmethod
    def of(cls, number: int, task: Task) -> "Order":
        models = task.work.models
        return cls(
            number=number,
            stage=task.stage.name,
            step=task.step.name,
            version=task.step.version,
            sources=task.work.sources,
            settings=task.work.settings,
            models={role: models.settings(role) for role in task.step.roles},
            identities={role: models.identity(role) for role in task.step.roles},
            batch_size=task.batch_size,
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a batch, and what that cost `who`; without results, where a worker only made itself ready."""

    who: str
    results: Results = field(default_factory=list)
    seconds: float = 0.0
    devices: Mapping[str, str] = field(default_factory=dict)
    peak_memory: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Raised:
    """An exception of another process, whatever its class asks for to be made again."""

    kind: type[Exception]
    args: tuple[Any, ...]
    values: Mapping[str, Any]

    @classmethod
    def of(cls, error: Exception, who: str) -> "Raised":
        error.add_note(f"In {who}:\n{''.join(traceback.format_exception(error))}".rstrip())
        told = {name: getattr(error, name, None) for name in OF_THE_SYSTEM}
        values = {**vars(error), **{name: value for name, value in told.items() if value is not None}}
        sent = cls(type(error), error.args, values)
        try:
            pickle.loads(pickle.dumps(sent))
        except Exception:  # of whatever the exception holds
            return cls(RuntimeError, (f"{type(error).__name__}: {error}",), {"__notes__": values["__notes__"]})
        return sent

    def error(self) -> Exception:
        made = self.kind.__new__(self.kind)
        made.args = self.args
        for name, value in self.values.items():
            setattr(made, name, value)
        return made
