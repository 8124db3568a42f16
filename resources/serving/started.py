"""A server of our own: started for a role, waited for, and ended with this process whatever happens to it."""

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import IO

from resources.loading.failures import ModelUnavailable

HOST = "127.0.0.1"
TRIES = 5
"""Ports that are tried: between finding a free one and the server's taking it, another may take it."""

MOST_SECONDS = 900.0
"""Until a server answers: large weights take minutes to load."""

PAUSE = 0.1
TOLD = 2_000
TAKEN = ("address already in use", "errno 98", "address in use")

Command = Callable[[int], list[str]]

_all: "weakref.WeakSet[StartedServer]" = weakref.WeakSet()


class StartedServer:
    """Runs a command that serves on a port of this machine, until `stop`, or until this process ends.

    Slow to make: it waits until the server answers. Raises ModelUnavailable when it does not.
    """

    def __init__(self, command: Command, device: str | None = None, most_seconds: float = MOST_SECONDS) -> None:
        for _ in range(TRIES):
            self.port = _free_port()
            self._log: IO[bytes] = tempfile.TemporaryFile(prefix="imgdiff-server-")  # noqa: SIM115
            self._guard = _started(command(self.port), device, self._log)
            # However this object goes, the guard's input closes with it.
            self._finalizer = weakref.finalize(self, _stop, self._guard, self._log)
            try:
                self._wait(most_seconds)
            except _PortTaken:
                self.stop()
            except BaseException:
                self.stop()
                raise
            else:
                _all.add(self)
                return
        raise ModelUnavailable(f"Of {TRIES} ports of this machine each was taken before the server had it.")

    @property
    def base_url(self) -> str:
        return f"http://{HOST}:{self.port}/v1"

    @property
    def alive(self) -> bool:
        """Whether the server has not ended."""
        return self._guard.poll() is None

    @property
    def pid(self) -> int:
        """Of the process that guards the server."""
        return self._guard.pid

    def stop(self) -> None:
        """End the server and all that it started; waits until it has ended."""
        self._finalizer()

    def _wait(self, most_seconds: float) -> None:
        until = time.monotonic() + most_seconds
        while not _answers(f"http://{HOST}:{self.port}/health"):
            if self._guard.poll() is not None:
                told = self._told()
                if any(words in told.lower() for words in TAKEN):
                    raise _PortTaken
                raise ModelUnavailable(
                    f"The server that was started ended before it answered: {told or 'it said nothing'}"
                )
            if time.monotonic() > until:
                raise ModelUnavailable(f"The server that was started does not answer within {most_seconds:g} seconds.")
            time.sleep(PAUSE)
        if self._guard.poll() is not None:  # whoever answers is another
            raise _PortTaken

    def _told(self) -> str:
        """The end of what the server printed."""
        size = os.fstat(self._log.fileno()).st_size
        told = os.pread(self._log.fileno(), TOLD, max(size - TOLD, 0))
        return " ".join(told.decode("utf-8", "replace").split())


def last_words(base_url: str) -> str | None:
    """What the server that was started at this address printed before it ended by itself; None where none did."""
    there = (server for server in _all if server.base_url == base_url and server._finalizer.alive)
    return next((server._told() or "nothing" for server in there if not server.alive), None)


class _PortTaken(ModelUnavailable):
    """Another process took the port first."""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _started(command: list[str], device: str | None, log: IO[bytes]) -> "subprocess.Popen[bytes]":
    """The guard with the command; its input is a pipe whose other end nobody but this process has."""
    environment = dict(os.environ)
    if device is not None:
        environment["CUDA_VISIBLE_DEVICES"] = device
    root = str(Path(__file__).parents[2])
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (root, environment.get("PYTHONPATH", ""))))
    return subprocess.Popen(
        [sys.executable, "-m", "resources.serving.guard", *command],
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=subprocess.STDOUT,
        env=environment,
        start_new_session=True,
    )


def _stop(guard: "subprocess.Popen[bytes]", log: IO[bytes]) -> None:
    if guard.stdin is not None:
        guard.stdin.close()
    guard.wait()
    log.close()


def _answers(address: str) -> bool:
    """Whether a server says that it is well; all that are started here have such an address."""
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError as error:
        return error.code in (401, 403)
    except OSError:
        return False
