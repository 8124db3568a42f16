"""Local workers that a fork server starts: it has imported all that they need, so that they begin at once.

The server is a process of its own that runs no threads. A fork of this one would share locks that its threads hold.
"""

import multiprocessing
import subprocess
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from imgdiff_assets.engine.workers.local_crew import LocalCrew
from imgdiff_assets.engine.workers.local_worker import serve
from imgdiff_assets.engine.workers.worker import Worker

CONTEXT = multiprocessing.get_context("forkserver")


class Served(CONTEXT.Process):  # type: ignore[name-defined,misc]
    """A process that is waited for as those of `subprocess` are."""

    def wait(self, timeout: float | None = None) -> int:
        self.join(timeout)
        if self.exitcode is None:
            raise subprocess.TimeoutExpired("worker", timeout or 0)
        return int(self.exitcode)


class ServedCrew(LocalCrew):
    """See `LocalCrew`; `worker()`, a function of a module, makes what each process serves.

    `imported` are modules that the server has imported before it starts the first; the first crew's hold for all.
    """

    def __init__(self, size: int, worker: Callable[[], Any] | None = None, imported: tuple[str, ...] = ()) -> None:
        super().__init__(size)
        self._worker = worker or for_a_run
        CONTEXT.set_forkserver_preload(["imgdiff_assets.engine.workers.worker", *imported])

    @property
    def pids(self) -> list[int]:
        """Of the workers that have not ended, as far as the driver knows."""
        return [process.pid for process in self._processes.values()]

    def _launch(self, pipe: Connection) -> Any:
        process = Served(target=_serve, args=(pipe, self._worker))
        process.start()
        return process


def for_a_run() -> Worker:
    """What `imgdiff run --workers` starts."""
    return Worker(takes_turns=True)


def _serve(pipe: Connection, worker: Callable[[], Any]) -> None:
    serve(pipe, worker())
