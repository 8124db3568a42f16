"""Who measures batches of rows: this process, or others (`imgdiff_assets.engine.workers`)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from imgdiff_assets.common.aliases import Row
from imgdiff_assets.engine.batches import Batches, Failure
from imgdiff_assets.engine.shard_work import ShardWork
from imgdiff_assets.ledger.cells import CellReference
from imgdiff_assets.stages.stage import Stage
from imgdiff_assets.stages.steps import Measurement

Results = list[list[Row] | Failure]
"""Of each row of a batch what was measured of it, or why it could not be."""


@dataclass(frozen=True, slots=True)
class Task:
    """One measurement over a shard. `batch_size` is the most rows that its models see at once."""

    stage: Stage
    step: Measurement
    work: ShardWork
    batch_size: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows that are measured together: where they are in the table, and they themselves.

    `made` tells where the images are that the very stage made of the rows, by id.
    """

    indices: Sequence[int]
    rows: Sequence[Row]
    made: Mapping[str, CellReference] = field(default_factory=dict)

    def halves(self) -> "tuple[Batch, Batch]":
        """Of two rows or more."""
        middle = len(self.rows) // 2
        return (
            Batch(self.indices[:middle], self.rows[:middle], self.made),
            Batch(self.indices[middle:], self.rows[middle:], self.made),
        )


@dataclass(slots=True)
class WorkerUse:
    """What one process measured of a stage.

    `seconds` are those in which its models worked, or what they need was made ready; `devices` and `peak_memory` are
    by role, as in the record. `ended` says how it ended, if it did before the run.
    """

    rows: int = 0
    seconds: float = 0.0
    devices: dict[str, str] = field(default_factory=dict)
    peak_memory: dict[str, int] = field(default_factory=dict)
    ended: str | None = None

    def add(self, rows: int, seconds: float, devices: Mapping[str, str], peak_memory: Mapping[str, int]) -> None:
        """Count what came back with a batch."""
        self.rows += rows
        self.seconds = round(self.seconds + seconds, 3)
        self.devices |= devices
        for role, peak in peak_memory.items():
            self.peak_memory[role] = max(self.peak_memory.get(role, 0), peak)


class Measurer(Protocol):
    """Measures batches. What is no row's fault is raised: see `Batches.run`."""

    def measure(self, task: Task, batches: Iterable[Batch]) -> Iterator[tuple[Batch, Results]]:
        """The results of each batch, or of its halves, as soon as they are there: they are durable before the next.

        So they come in any order. No more batches are taken than are about to be measured.
        """

    def give_way(self) -> None:
        """Let go of models that others may be waiting for: between measurements."""

    def uses(self) -> Mapping[str, WorkerUse]:
        """By process, what it did since this was asked last; nothing of what this process did itself."""


class Here:
    """Measures in this process, one batch after the other."""

    def measure(self, task: Task, batches: Iterable[Batch]) -> Iterator[tuple[Batch, Results]]:
        for role in task.step.roles:
            task.work.model(role)
        measuring = Batches(task.step, task.work, task.batch_size)
        for batch in batches:
            yield batch, measuring.run(batch.rows)

    def give_way(self) -> None:
        """Whoever waits does so for this process (`resources.loading.devices.give_way`)."""

    def uses(self) -> Mapping[str, WorkerUse]:
        return {}


HERE = Here()
