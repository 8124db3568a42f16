import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from resources.backends.choice import identity_of
from resources.captioner import CaptionerSettings
from resources.serving import engine
from resources.serving.engine import Engine, engine_of

MODEL = {"id": "vlm", "owned_by": "somebody"}


@contextmanager
def telling(pages):
    """A server that has these pages."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            found = pages.get(self.path)
            self.send_response(200 if found is not None else 404)
            self.end_headers()
            self.wfile.write(json.dumps(found).encode() if not isinstance(found, bytes) else found)

        def log_message(self, *told):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(autouse=True)
def forgotten():
    engine._asked.cache_clear()


@pytest.mark.parametrize(
    ("pages", "told"),
    [
        ({"/version": {"version": "0.11.2"}}, Engine("vllm", "0.11.2")),
        (
            {"/version": {"version": "0.11.2"}, "/server_info": {"system_env": {"VLLM_BATCH_INVARIANT": "1"}}},
            Engine("vllm", "0.11.2", True),
        ),
        (
            {"/get_server_info": {"version": "0.5.3", "enable_deterministic_inference": False}},
            Engine("sglang", "0.5.3", False),
        ),
        ({"/v1/models": {"data": [{"id": "x", "owned_by": "sglang"}]}}, Engine("sglang")),
        ({"/v1/models": {"data": [MODEL]}}, Engine()),
        ({"/version": b"<html>", "/server_info": [1]}, Engine()),
        ({"/v1/models": {"data": [3, None]}}, Engine()),
    ],
)
def test_what_a_server_tells_of_itself(pages, told):
    with telling(pages) as address:
        assert engine_of(address) == told


def test_one_that_is_not_there_tells_nothing():
    assert str(engine_of("http://127.0.0.1:9/v1")) == "server"


def test_it_is_in_words():
    assert str(Engine("vllm", "0.11.2", True)) == "server (vllm 0.11.2, batch-invariant)"
    assert str(Engine("sglang")) == "server (sglang of unknown version, batch invariance not told)"


def test_another_version_counts_only_where_the_server_is_pinned():
    known = {}
    for version in ("1", "2"):
        engine._asked.cache_clear()
        pages = {"/version": {"version": version}, "/v1/models": {"data": [MODEL]}}
        with telling(pages) as address:
            for pinned in (False, True):
                settings = CaptionerSettings(model="vlm", base_url=address, pin_server=pinned)
                known[version, pinned] = identity_of(settings)
    assert known["1", False] == known["2", False]
    assert known["1", True] != known["2", True]
    assert "pin_server" not in known["1", True]


def test_what_is_started_here_is_no_address():
    with pytest.raises(ValueError, match="leave out one of them"):
        CaptionerSettings(model="x", serve="vllm", base_url="http://localhost/v1")
    with pytest.raises(ValueError, match="there is no engine 'llama'"):
        CaptionerSettings(model="x", serve="llama")
    assert CaptionerSettings(model="x").identity() == CaptionerSettings.model_validate({"model": "x"}).identity()
    assert CaptionerSettings(model="x", serve="vllm").identity()["serve"] == "vllm"
    assert "serve" not in CaptionerSettings(model="x").identity()
