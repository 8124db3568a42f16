"""Servers that a role starts: loaded, let go of and given room as models are, with a small server of our own."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from resources.backends import serving
from resources.backends.choice import backend_of
from resources.captioner import CaptionerSettings
from resources.loading import devices, turns
from resources.loading.failures import ModelUnavailable
from resources.loading.file_lock import held

SERVER = """
import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b'{"data": []}')
    def log_message(self, *told): pass
open(os.path.join(sys.argv[2], f"{os.getpid()}.{os.environ.get('CUDA_VISIBLE_DEVICES', 'none')}"), "w").close()
print("ready to serve", flush=True)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where each server notes its process and the cards that it sees."""
    script, folder = tmp_path / "server.py", tmp_path / "notes"
    script.write_text(SERVER, encoding="utf-8")
    folder.mkdir()
    command = [sys.executable, "-S", str(script)]
    monkeypatch.setitem(serving.COMMANDS, "vllm", lambda _, __, port: [*command, str(port), str(folder)])
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    devices.unload_all()
    yield folder
    devices.unload_all()


def captioner(**fields: object) -> CaptionerSettings:
    return CaptionerSettings.model_validate(
        {"model": "miniature:captioner", "serve": "vllm", "device": "cpu"} | fields
    )


def noted(folder: Path) -> dict[int, str]:
    return {int(file.stem): file.suffix[1:] for file in folder.iterdir()}


def has_ended(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False


def test_it_is_started_once_and_ends_when_models_are_let_go(notes: Path) -> None:
    backend = backend_of(captioner())
    first = backend.load(captioner())
    assert backend.load(captioner()) is first
    ((process, seen),) = noted(notes).items()
    assert seen == "none"
    assert "started here" in backend.runs_on(captioner())
    devices.unload_all()
    assert has_ended(process)


def test_one_that_has_ended_is_started_again(notes: Path) -> None:
    backend = backend_of(captioner())
    address = backend.load(captioner()).settings.base_url
    (process,) = noted(notes)
    os.kill(process, signal.SIGKILL)
    (server,) = serving._running
    server._started._guard.wait()
    again = backend.load(captioner()).settings.base_url
    assert len(noted(notes)) == 2
    assert again != address or not has_ended(max(noted(notes)))


def test_one_that_ends_in_the_middle_is_told_with_what_it_said(notes: Path) -> None:
    settings = captioner(max_retries=0)
    model = backend_of(settings).load(settings)
    (process,) = noted(notes)
    os.kill(process, signal.SIGKILL)
    (server,) = serving._running
    server._started._guard.wait()
    with pytest.raises(ModelUnavailable, match=r"that was started here for .* has ended, and said: ready to serve"):
        model.answer([[np.zeros((8, 8, 3), np.uint8)]], ["what is this ?"])


def test_it_claims_the_first_card_that_is_free_and_lets_go_of_what_is_there(
    notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    current = [0]
    monkeypatch.setattr(devices, "cards", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", lambda card: current.append(int(card.partition(":")[2])))
    monkeypatch.setattr(devices, "resolve", lambda device: f"cuda:{current[-1]}" if device == "auto" else device)
    monkeypatch.setattr(devices, "memory", lambda device: (10**12, 10**12))
    monkeypatch.setattr(devices, "_peak", lambda device: 0)
    monkeypatch.setattr(turns, "_name", lambda device: device)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4, 7")
    there = devices._Loaded(object(), "cuda:1")
    devices._loaded["a model", "there"] = there
    with held(tmp_path / "cuda:0", "cuda:0", "another"), turns.taking_turns(tmp_path, "this test", pytest.fail):
        backend_of(captioner()).load(captioner(device="auto"))
        ((process, seen),) = noted(notes).items()
        assert seen == "7"
        assert turns.any_taken()
        assert there not in devices._loaded.values()
    devices.give_way()
    assert has_ended(process)
    assert not turns.any_taken()
