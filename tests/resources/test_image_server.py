"""Editors and generators behind a server that speaks OpenAI's images API: one of the test's own."""

import base64
import email
import email.policy
import io
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest
from PIL import Image

from resources.asked_once import asked_once
from resources.backends.choice import backend_of
from resources.editor import EditorSettings
from resources.image_generator import ImageGeneratorSettings
from resources.image_server import ServedEditor, ServedImageGenerator
from resources.loading.failures import ModelUnavailable

Request = Mapping[str, Any]


@contextmanager
def images_server(
    refused: Callable[[Request], int | None] = lambda request: None,
) -> Iterator[tuple[str, list[Request]]]:
    """Edits by inverting, and draws the seed as a grey; gives the base URL and all requests."""
    requests: list[Request] = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *arguments: Any) -> None:
            pass

        def do_GET(self) -> None:
            self._send(200, {"data": [{"id": "painter", "object": "model", "owned_by": "us"}]})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            request = {"path": self.path, **self._fields(body)}
            requests.append(request)
            if (status := refused(request)) is not None:
                self._send(status, {"error": {"message": "refused"}} if status != 200 else {"data": []})
                return
            if "image" in request:
                picture = 255 - np.asarray(Image.open(io.BytesIO(request["image"])))
            else:
                side = int(request["size"].partition("x")[0])
                picture = np.full((side, side, 3), int(request.get("seed", 0)) % 256, np.uint8)
            file = io.BytesIO()
            Image.fromarray(picture).save(file, "PNG")
            self._send(200, {"created": 1, "data": [{"b64_json": base64.b64encode(file.getvalue()).decode()}]})

        def _fields(self, body: bytes) -> dict[str, Any]:
            kind = self.headers["Content-Type"]
            if kind.startswith("application/json"):
                return dict(json.loads(body))
            parts = email.message_from_bytes(f"Content-Type: {kind}\n\n".encode() + body, policy=email.policy.HTTP)
            told = {}
            for part in parts.iter_parts():  # type: ignore[attr-defined]
                value = part.get_payload(decode=True)
                name = part.get_param("name", header="content-disposition")
                told[name] = value if name == "image" else value.decode()
            return told

        def _send(self, status: int, content: Mapping[str, Any]) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", requests
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def editor(base_url: str, **fields: Any) -> ServedEditor:
    values = {"model": "painter", "base_url": base_url, "image_size": 32, "max_retries": 0, **fields}
    return ServedEditor(EditorSettings.model_validate(values))


def pictures() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 255, shape, dtype=np.uint8) for shape in ((32, 32, 3), (16, 32, 3))]


def test_an_edit_is_what_the_server_makes_of_the_source() -> None:
    sources = pictures()
    with images_server() as (url, requests):
        targets = editor(url, guidance_scale=2.5).edit(sources, ["invert it", "invert it too"], [3, 2**31 + 4])
    for source, target in zip(sources, targets, strict=True):
        np.testing.assert_array_equal(target, 255 - source)
    by_prompt = {request["prompt"]: request for request in requests}
    assert {request["path"] for request in requests} == {"/v1/images/edits"}
    assert by_prompt["invert it"]["seed"] == "3"
    assert by_prompt["invert it too"]["seed"] == "4"
    assert by_prompt["invert it too"]["size"] == "32x16"
    assert by_prompt["invert it"]["guidance_scale"] == "2.5"
    assert by_prompt["invert it"]["model"] == "painter"


def test_a_picture_of_another_size_is_scaled_to_the_source_s() -> None:
    (source, _) = pictures()
    with images_server() as (url, requests):
        (target,) = editor(url, image_size=64).edit([source], ["invert it"], [3])
    assert requests[0]["size"] == "64x64"
    assert target.shape == source.shape


def test_plain_requests_say_what_openai_knows() -> None:
    with images_server() as (url, requests):
        editor(url, plain_requests=True).edit(pictures()[:1], ["invert it"], [3])
    assert set(requests[0]) == {"path", "model", "prompt", "n", "size", "image"}


def test_captions_are_drawn() -> None:
    with images_server() as (url, requests):
        values = {"model": "painter", "base_url": url, "image_size": 16}
        model = ServedImageGenerator(ImageGeneratorSettings.model_validate(values))
        drawn = model.generate(["a cat", "a dog"], [7, 8])
    assert [picture.shape for picture in drawn] == [(16, 16, 3)] * 2
    assert [int(picture[0, 0, 0]) for picture in drawn] == [7, 8]
    assert {request["path"] for request in requests} == {"/v1/images/generations"}


def test_a_batch_with_a_row_at_fault_pays_for_each_once() -> None:
    (source, _) = pictures()
    with images_server(lambda request: 400 if request["prompt"] == "bad" else None) as (url, requests), asked_once():
        model = editor(url)
        for told in (["fine", "bad"], ["bad"]):
            with pytest.raises(Exception, match="refused"):
                model.edit([source] * len(told), told, [1] * len(told))
        assert len(model.edit([source], ["fine"], [1])) == 1
    assert sorted(request["prompt"] for request in requests) == ["bad", "fine"]


def test_an_answer_without_a_picture_is_the_row_s_error_and_a_failing_server_is_not() -> None:
    (source, _) = pictures()
    with images_server(lambda request: 200) as (url, _), pytest.raises(ValueError, match="without a picture"):
        editor(url).edit([source], ["x"], [1])
    with images_server(lambda request: 503) as (url, _), pytest.raises(ModelUnavailable, match="refuses to answer"):
        editor(url).edit([source], ["x"], [1])


def test_the_server_is_a_backend_of_both_roles() -> None:
    with images_server() as (url, _):
        settings = EditorSettings(model="painter", base_url=url)
        backend = backend_of(settings)
        assert isinstance(backend.load(settings), ServedEditor)
        assert backend.presence(settings).missing is None
        assert backend.weights(settings).startswith("served:")
    elsewhere = EditorSettings(model="painter", base_url="http://elsewhere/v1")
    assert settings.identity() == elsewhere.identity(), "where a server is says nothing of what it runs"
