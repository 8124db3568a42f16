"""Workers that are processes of this machine, each with a card or with its share of the cores."""

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import Any

from imgdiff_assets.engine.workers.crew import Ended, Reply

MODULE = "imgdiff_assets.engine.workers.local_worker"
THREADS = "OMP_NUM_THREADS"
PATIENCE = 5.0
"""Seconds that a worker has to end when the pipe to it is closed."""


class LocalCrew:
    """See `imgdiff_assets.engine.workers.crew.Crew`. A worker asks for a card where runs take turns on them."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._pipes: dict[int, Connection] = {}

    def start(self, number: int) -> None:
        self._pipes[number], theirs = Pipe()
        with theirs:
            self._processes[number] = self._launch(theirs)

    def _launch(self, pipe: Connection) -> "subprocess.Popen[bytes]":
        threads = os.environ.get(THREADS) or str(max(1, (os.cpu_count() or 1) // self.size))
        paths = os.pathsep.join(path for path in sys.path if path)
        return subprocess.Popen(
            [sys.executable, "-m", MODULE, str(pipe.fileno())],
            pass_fds=[pipe.fileno()],
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": paths, THREADS: threads},
            start_new_session=True,  # Ctrl-C is for the driver, which ends its workers itself
        )

    def ask(self, number: int, ticket: int, method: str, *arguments: Any) -> None:
        with suppress(OSError):  # it has ended, which `replies` tells
            self._pipes[number].send_bytes(pickle.dumps((ticket, method, arguments)))

    def replies(self, seconds: float) -> Sequence[tuple[int, int, Reply]]:
        numbers = {pipe: number for number, pipe in self._pipes.items()}
        found: list[tuple[int, int, Reply]] = []
        for pipe in wait(list(numbers), seconds):
            number = numbers[pipe]  # type: ignore[index]
            try:
                found.append((number, *pickle.loads(self._pipes[number].recv_bytes())))
            except (EOFError, OSError):
                found.append((number, 0, Ended(self._end(number))))
        return found

    def _end(self, number: int) -> str:
        """End one worker; returns how it did."""
        self._pipes.pop(number).close()
        process = self._processes.pop(number)
        try:
            code = process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        return f"status {code}" if code >= 0 else signal.Signals(-code).name

    def close(self) -> None:
        for pipe in self._pipes.values():
            pipe.close()
        for number in list(self._pipes):
            self._end(number)
