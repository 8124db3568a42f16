"""Servers that are started and end with whoever started them, with small servers of the tests' own."""

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from resources.loading.failures import ModelUnavailable
from resources.serving import started
from resources.serving.started import StartedServer

ROOT = Path(__file__).parents[3]
SERVER = """
import http.server, os, subprocess, sys
port, folder = int(sys.argv[1]), sys.argv[2]
# A child, and one in a session of its own, as workers of engines are.
for own in (False, True):
    child = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"], start_new_session=own)
    open(os.path.join(folder, f"{child.pid}.child"), "w").close()
open(os.path.join(folder, f"{os.getpid()}.server"), "w").close()
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b'{"data": []}')
    def log_message(self, *told): pass
http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""
DRIVER = """
import signal, sys, time
# Who began in the background has SIGINT ignored, and Dagster then SIGTERM, too; that is inherited.
signal.signal(signal.SIGTERM, signal.SIG_DFL)
from resources.serving.started import StartedServer
script, folder = sys.argv[1:]
server = StartedServer(lambda port: [sys.executable, "-S", script, str(port), folder])
print(server.pid, flush=True)
time.sleep(600)
"""
PATIENCE = 60.0


@pytest.fixture
def script(tmp_path):
    file = tmp_path / "server.py"
    file.write_text(SERVER, encoding="utf-8")
    return file


def command(script, folder):
    return lambda port: [sys.executable, "-S", str(script), str(port), str(folder)]


def processes(folder):
    """Those that the server noted: itself, and what it started."""
    return [int(file.stem) for file in folder.iterdir() if file.suffix in (".child", ".server")]


def has_ended(process):
    try:
        state = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state == "Z"


def wait_for_the_end(process):
    """By a descriptor that becomes readable when the process ends."""
    import select

    try:
        descriptor = os.pidfd_open(process)
    except ProcessLookupError:
        return
    try:
        assert select.select([descriptor], [], [], PATIENCE)[0], f"process {process} is still there"
    finally:
        os.close(descriptor)


def test_a_server_is_started_asked_and_stopped_with_its_children(script, tmp_path):
    server = StartedServer(command(script, tmp_path))
    with urllib.request.urlopen(f"{server.base_url}/models") as answer:
        assert answer.status == 200
    found = processes(tmp_path)
    assert len(found) == 3
    assert not any(map(has_ended, found))
    server.stop()
    assert all(map(has_ended, found))
    assert not server.alive


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_server_ends_when_its_driver_is_killed(script, tmp_path, number):
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(script), str(tmp_path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    guard = int(driver.stdout.readline())
    found = processes(tmp_path)
    assert len(found) == 3
    driver.send_signal(number)
    driver.wait()
    driver.stdout.close()
    for process in (guard, *found):
        wait_for_the_end(process)


def test_another_port_is_tried_where_the_first_was_taken(script, tmp_path, monkeypatch):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        ports = iter([other.getsockname()[1], started._free_port()])
        monkeypatch.setattr(started, "_free_port", lambda: next(ports))
        monkeypatch.setattr(started, "_answers", answers_unless(other.getsockname()[1]))
        server = StartedServer(command(script, tmp_path))
        assert server.port != other.getsockname()[1]
        server.stop()


def answers_unless(port):
    real = started._answers
    return lambda address: f":{port}/" not in address and real(address)


def test_a_server_that_ends_is_told_with_what_it_said():
    wrong = [sys.executable, "-S", "-c", "raise SystemExit('no such weights')"]
    with pytest.raises(ModelUnavailable, match="no such weights"):
        StartedServer(lambda port: wrong)


def test_a_server_that_never_answers_is_stopped(monkeypatch):
    silent = [sys.executable, "-S", "-c", "import time; time.sleep(600)"]
    guards = []
    real = started._started
    monkeypatch.setattr(started, "_started", lambda *args: guards.append(real(*args)) or guards[-1])
    with pytest.raises(ModelUnavailable, match="does not answer within"):
        StartedServer(lambda port: silent, most_seconds=0.0)
    assert guards[0].poll() is not None
