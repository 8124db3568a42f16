"""Dagster's web UI and its daemon as child processes that are all gone when it is stopped, however that is done."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import IO

import yaml

STOP_SECONDS = 30.0
LEFTOVER_SECONDS = 5.0
DEFINITIONS = "imgdiff_assets.definitions"
# Dagster puts the folder that it is told onto Python's path: never the current one, in which anything may lie.
CODE_SERVER = ["dagster", "code-server", "start", "-m", DEFINITIONS, "-d", str(Path(__file__).parents[2])]
CODE_SERVER += ["--location-name", DEFINITIONS, "--inject-env-vars-from-instance", "--log-level", "warning"]
DAEMON = ["dagster._daemon", "run", "--log-level", "error", "--code-server-log-level", "error"]
DOOR = ["imgdiff_assets.defs.door"]
SHORT = "/tmp" if sys.platform == "darwin" else None
"""Where the private folder is: on macOS a socket's path has at most 104 bytes, and temporary folders long names."""

TOKEN = "IMGDIFF_BROWSE_TOKEN"


def serve(listener: socket.socket, address: str, token: str | None, log: Path, say: Callable[[str], None]) -> int:
    """Run the web UI until Ctrl-C, SIGTERM or SIGHUP; returns 0, or the exit code of a UI that stopped by itself.

    `listener` is where the door takes requests: the only port. Dagster's code server is reached by files of a folder
    that nobody else may enter. What the processes print, above all the logs of every run, goes to the file `log`.
    """
    stop = _StopSignal()
    with (
        TemporaryDirectory(prefix="imgdiff-ui-", dir=SHORT, ignore_cleanup_errors=True) as private,
        log.open("wb") as file,
    ):
        code, workspace, ready = (Path(private) / name for name in ("code", "workspace.yaml", "ready"))
        place = {"grpc_server": {"socket": str(code), "location_name": DEFINITIONS}}
        workspace.write_text(yaml.safe_dump({"load_from": [place]}), encoding="utf-8")
        # The code server makes files of its own to be reached by, where it makes temporary ones.
        processes = _Processes(file, {"PYTHONSAFEPATH": "1", "TMPDIR": private})
        try:
            processes.start(*CODE_SERVER, "--socket", str(code))
            if _wait(processes, stop, code):
                processes.start(*DAEMON, "-w", str(workspace))
                processes.start(*DOOR, str(workspace), str(listener.fileno()), str(ready), hold=listener, token=token)
                if _wait(processes, stop, ready):
                    shown = f"{address}/?token={token}" if token else address
                    say(f"The web UI is at {shown} (Ctrl-C stops it; it logs to {log}).")
                    _wait(processes, stop, None)
            if stop.received:
                say("Stopping. Runs that are under way are started again with the next web UI, where they were.")
            else:
                say(f"Dagster stopped by itself; {log} says why.")
        finally:
            processes.stop()
    return 0 if stop.received else processes.exit_code


class _StopSignal:
    """Remembers that the process was asked to stop; a second Ctrl-C changes nothing."""

    def __init__(self) -> None:
        self.received = False
        for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(name, self._receive)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = True


def _wait(processes: "_Processes", stop: _StopSignal, made: Path | None) -> bool:
    """Wait until a file is made, for ever if None; returns False when all is to end before."""
    while processes.all_run and not stop.received:
        if made is not None and made.exists():
            return True
        time.sleep(0.1)
    return False


class _Processes:
    """Python processes that run modules, in a group of their own: so Ctrl-C reaches this process alone, which ends
    them in order."""

    def __init__(self, output: IO[bytes], environment: dict[str, str]) -> None:
        self._output = output
        self._environment = {**os.environ, **environment}
        self._environment.pop(TOKEN, None)
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self, *module: str, hold: socket.socket | None = None, token: str | None = None) -> None:
        """Run a module, which alone gets the socket `hold` and the token."""
        self._started.append(
            subprocess.Popen(
                [sys.executable, "-m", *module],
                env={**self._environment, **({TOKEN: token} if token else {})},
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=subprocess.STDOUT,
                pass_fds=[hold.fileno()] if hold is not None else [],
                process_group=self._group,
            )
        )

    @property
    def all_run(self) -> bool:
        return all(process.poll() is None for process in self._started)

    @property
    def exit_code(self) -> int:
        """That of the first that failed."""
        return next((process.returncode for process in self._started if process.returncode), 1)

    def stop(self) -> None:
        """The latest first, each as Ctrl-C does; then whatever is left of the group."""
        deadline = time.monotonic() + STOP_SECONDS
        for process in reversed(self._started):
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(max(0, deadline - time.monotonic()))
        for number in (signal.SIGTERM, signal.SIGKILL) if self._started else ():
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._group, number)
            deadline = time.monotonic() + LEFTOVER_SECONDS
            while self._group_exists() and time.monotonic() < deadline:
                time.sleep(0.1)

    @property
    def _group(self) -> int:
        """Named after the first; 0 while there is none, which makes it one."""
        return self._started[0].pid if self._started else 0

    def _group_exists(self) -> bool:
        for process in self._started:
            process.poll()
        try:
            os.killpg(self._group, 0)
        except (ProcessLookupError, PermissionError):  # the latter is what macOS says of a group that has ended
            return False
        return True
