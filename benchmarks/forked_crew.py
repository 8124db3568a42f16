"""Local workers that are forks of the driver: they have imported all that it has, and begin at once."""

import multiprocessing
import subprocess
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from imgdiff_assets.engine.workers.local_crew import LocalCrew
from imgdiff_assets.engine.workers.local_worker import serve
from imgdiff_assets.engine.workers.worker import Worker


class Forked(multiprocessing.get_context("fork").Process):  # type: ignore[name-defined,misc]
    """A process that is waited for as those of `subprocess` are."""

    def wait(self, timeout: float | None = None) -> int:
        self.join(timeout)
        if self.exitcode is None:
            raise subprocess.TimeoutExpired("worker", timeout or 0)
        return int(self.exitcode)


class ForkedCrew(LocalCrew):
    """See `LocalCrew`; `worker()` makes what each process serves."""

    def __init__(self, size: int, worker: Callable[[], Any] = lambda: Worker(takes_turns=True)) -> None:
        super().__init__(size)
        self._worker = worker

    def _launch(self, pipe: Connection) -> Any:
        def run() -> None:
            for ours in self._pipes.values():
                ours.close()  # or no worker would learn that the driver has closed it
            serve(pipe, self._worker())

        process = Forked(target=run)
        process.start()
        return process
