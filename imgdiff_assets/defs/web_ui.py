"""Dagster's web UI and its daemon as child processes that are all gone when it is stopped, however that is done."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType

from imgdiff_assets.common.errors import ImgDiffError

HOST = "127.0.0.1"
STOP_SECONDS = 30.0
LEFTOVER_SECONDS = 5.0
# Dagster advises its other command line, which needs a project layout of its own.
DAGSTER = [
    "-W",
    "ignore:Function `dev_command` is superseded",
    "-m",
    "dagster",
    "dev",
    "-m",
    "imgdiff_assets.definitions",
]


class PortInUse(ImgDiffError, OSError):
    """Something else listens there."""


def serve(port: int, log: Path, say: Callable[[str], None]) -> int:
    """Run the web UI until Ctrl-C, SIGTERM or SIGHUP; returns 0, or the exit code of a UI that stopped by itself.

    The processes have a group of their own, so that Ctrl-C reaches this one alone, which stops them in order. What
    they print, above all the logs of every run, goes to the file `log`. Raises PortInUse.
    """
    _require_free(port)
    command = [sys.executable, *DAGSTER, "--host", HOST, "--port", str(port), "--log-level", "error"]
    stop = _StopSignal()
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        address = f"http://{HOST}:{port}"
        while process.poll() is None and not stop.received and not _answers(address):
            time.sleep(0.2)
        if process.poll() is None and not stop.received:
            say(f"The web UI is at {address} (Ctrl-C stops it; it logs to {log}).")
        while process.poll() is None and not stop.received:
            time.sleep(0.2)
        if stop.received:
            say("Stopping. Runs that are under way are started again with the next web UI, where they were.")
        else:
            say(f"Dagster stopped by itself; {log} says why.")
    finally:
        _stop(process)
    return 0 if stop.received else process.returncode


class _StopSignal:
    """Remembers that the process was asked to stop; a second Ctrl-C changes nothing."""

    def __init__(self) -> None:
        self.received = False
        for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(name, self._receive)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = True


def _require_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise PortInUse(
                f"Port {port} cannot be used ({error.strerror}): perhaps the web UI is open already, at "
                f"http://{HOST}:{port}. Give another port: --port {port + 1 if port < 65535 else 3000}."
            ) from None


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/server_info", timeout=2):
            return True
    except (urllib.error.URLError, OSError):
        return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    """First as Ctrl-C does, so that Dagster ends its services; then whatever is left of the group."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        deadline = time.monotonic() + LEFTOVER_SECONDS
        while _group_exists(process.pid) and time.monotonic() < deadline:
            process.poll()
            time.sleep(0.1)


def _group_exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
