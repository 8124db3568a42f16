"""Running one measurement over batches of rows: what fails is set apart from what does not.

A batch that raises is halved until the rows at fault are alone. In the worst case, all n rows of a batch fail, that
is 2n - 1 calls; one row at fault costs about twice the batch's time. A server is asked each question once
all the same.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from imgdiff_assets.common.aliases import Row
from imgdiff_assets.ledger.checked_file import DamagedTable
from imgdiff_assets.ledger.images import ImagesDropped
from imgdiff_assets.stages.steps import Measurement, Work
from resources.asked_once import asked_once
from resources.loading import devices
from resources.loading.failures import is_of_the_machine, is_out_of_memory

OUT_OF_MEMORY = "out_of_memory"
LONGEST_MESSAGE = 500


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a row could not be measured: a short name for `rejected_by`, and the message."""

    kind: str
    message: str

    @classmethod
    def of(cls, error: BaseException) -> "Failure":
        """The kind is `out_of_memory`, or the exception's class (`ValueError`: `value`)."""
        name = type(error).__name__.removesuffix("Error") or "error"
        kind = OUT_OF_MEMORY if is_out_of_memory(error) else re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
        return cls(kind, (" ".join(str(error).split()) or type(error).__name__)[:LONGEST_MESSAGE])


class Batches:
    """One measurement, run over one batch after another; `batch_size` shrinks to what fits into memory."""

    def __init__(self, step: Measurement, work: Work, batch_size: int) -> None:
        self._step, self._work = step, work
        self.batch_size = batch_size

    def run(self, rows: Sequence[Row]) -> list[list[Row] | Failure]:
        """For each row, in order, what was measured of it (a row, or several if the measurement expands), or why not.

        Raises what is no row's fault: DamagedTable, ImagesDropped, and see
        `resources.loading.failures.is_of_the_machine`.
        """
        with asked_once():
            return self._run(rows)

    def _run(self, rows: Sequence[Row]) -> list[list[Row] | Failure]:
        if len(rows) > self.batch_size:
            return self._halves(rows)
        try:
            measured = self._step.run(rows, self._work)
            if len(measured) != len(rows):
                raise RuntimeError(f"{self._step.name} gave {len(measured)} results for {len(rows)} rows")
        except Exception as error:
            if is_of_the_machine(error) or isinstance(error, DamagedTable | ImagesDropped):
                raise
            failure = Failure.of(error)
        else:
            return [self._checked(result) for result in measured]
        # Outside the handler: the exception's traceback would keep the failed batch's memory.
        if failure.kind == OUT_OF_MEMORY:
            devices.release_memory()
        if len(rows) == 1:
            return [failure]
        results = self._halves(rows)
        if failure.kind == OUT_OF_MEMORY and not any(_is_out_of_memory(result) for result in results):
            # It was the number of rows, not one that is too large alone: later batches need not find out again.
            self.batch_size = min(self.batch_size, (len(rows) + 1) // 2)
        return results

    def _halves(self, rows: Sequence[Row]) -> list[list[Row] | Failure]:
        middle = len(rows) // 2
        return [*self._run(rows[:middle]), *self._run(rows[middle:])]

    def _checked(self, result: Any) -> list[Row] | Failure:
        if isinstance(result, Exception):
            return Failure.of(result)
        produced = list(result) if self._step.expands else [result]
        unfit = _not_finite(produced)
        if unfit is None:
            return produced
        return Failure("not_finite", f"{self._step.name} gave {unfit} that is not a finite number")


def _is_out_of_memory(result: list[Row] | Failure) -> bool:
    return isinstance(result, Failure) and result.kind == OUT_OF_MEMORY


def _not_finite(rows: Sequence[Row]) -> str | None:
    """The first column with a NaN or an infinity."""
    for row in rows:
        for name, value in row.items():
            if isinstance(value, float | np.floating) and not np.isfinite(value):
                return name
    return None
