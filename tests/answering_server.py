"""Servers of OpenAI's APIs whose answers a test decides; what they were asked can be read."""

import email
import email.policy
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.local_server import running

MODEL = "talker"

Request = Mapping[str, Any]
Reply = tuple[int, Mapping[str, Any] | str]
"""A status with a body: an object is sent as JSON, a text as a page."""

Answer = Callable[[Request], "str | int | Mapping[str, Any]"]
"""What a request is answered, the status with which it is refused, or what the answer tells besides its text."""


@contextmanager
def serving(reply: Callable[[Request], Reply], model: str = MODEL) -> Iterator[tuple[str, list[Request]]]:
    """Serve while the block lasts; gives the base URL and the list of all requests so far, each with its `path`.

    Forms are told by their fields, `image` in bytes.
    """
    requests: list[Request] = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *arguments: Any) -> None:
            pass

        def do_GET(self) -> None:
            self._send(200, {"data": [{"id": model, "object": "model", "owned_by": "us"}]})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            request = {"path": self.path, **fields(self.headers["Content-Type"], body)}
            requests.append(request)
            self._send(*reply(request))

        def _send(self, status: int, content: Mapping[str, Any] | str) -> None:
            page = isinstance(content, str)
            body = (content if isinstance(content, str) else json.dumps(content)).encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/html" if page else "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with running(Handler) as address:
        yield f"{address}/v1", requests


def fields(kind: str, body: bytes) -> dict[str, Any]:
    """What a request says, as JSON or as a form."""
    if kind.startswith("application/json"):
        return dict(json.loads(body))
    parts = email.message_from_bytes(f"Content-Type: {kind}\n\n".encode() + body, policy=email.policy.HTTP)
    told = {}
    for part in parts.iter_parts():  # type: ignore[attr-defined]
        value = part.get_payload(decode=True)
        name = part.get_param("name", header="content-disposition")
        told[name] = value if name == "image" else value.decode()
    return told


@contextmanager
def answering(answer: Answer) -> Iterator[tuple[str, list[Request]]]:
    """A server of chats."""

    def reply(request: Request) -> Reply:
        said = answer(request)
        if isinstance(said, int):
            return said, {"error": {"message": f"refused with {said}"}}
        content, more = (said, {}) if isinstance(said, str) else ("", said)
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}, **more}
        return 200, {"id": "1", "object": "chat.completion", "model": MODEL, "choices": [choice]}

    with serving(reply) as served:
        yield served
