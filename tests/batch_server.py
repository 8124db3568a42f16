"""A server of batches whose answers a test decides: it counts what it was asked, and what is to be paid for.

It keeps what it was sent whatever becomes of who sent it, and answers when it is told to.
"""

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.answering_server import MODEL
from tests.local_server import running

Outcome = str | int | None
"""What a request is answered, the status with which it is refused, or None: it expires."""


class BatchServer:
    """`paid` counts the requests of all batches that are answered, by what was asked; `plain` those asked at once.

    `page` is how many batches it lists at a time, `refusal` what it says of a refused request. `forgets` are parts of
    a batch that it does not tell; unless it `serves`, it knows of no batches. `arrived` is told of each request before
    it is looked at.
    """

    def __init__(self, answer: Callable[[Mapping[str, Any]], Outcome]) -> None:
        self.answer = answer
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.paid: Counter[str] = Counter()
        self.plain = 0
        self.page = 2
        self.refusal = "refused"
        self.base_url = ""
        self.serves = True
        self.forgets: frozenset[str] = frozenset()
        self.arrived: Callable[[str], None] = lambda what: None
        self.lock = threading.Lock()
        self._in_hand = 0
        self._idle = threading.Condition()

    @contextmanager
    def serving(self) -> Iterator["BatchServer"]:
        handler = type("Handler", (_Handler,), {"batches": self})
        with running(handler) as address:
            self.base_url = f"{address}/v1"
            yield self

    @contextmanager
    def in_hand(self) -> Iterator[None]:
        """One request."""
        with self._idle:
            self._in_hand += 1
        try:
            yield
        finally:
            with self._idle:
                self._in_hand -= 1
                self._idle.notify_all()

    def wait(self) -> None:
        """Until what has arrived is done with, though who sent it may be gone."""
        with self._idle:
            self._idle.wait_for(lambda: self._in_hand == 0)

    def told(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in batch.items() if name not in self.forgets}

    def requests(self, batch: Mapping[str, Any]) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.files[batch["input_file_id"]].splitlines()]

    def work(self, state: str = "completed") -> None:
        """Answer all batches that are under way; as failed, none of what is asked is."""
        for batch in self.batches.values():
            if batch["status"] != "in_progress":
                continue
            batch["status"] = state
            if state == "failed":
                batch["errors"] = {"object": "list", "data": [{"code": "limit", "message": "too much is enqueued"}]}
                continue
            written: dict[str, list[dict[str, Any]]] = {"output": [], "error": []}
            for request in reversed(self.requests(batch)):
                self._answer(request, written)
            batch["request_counts"] = {
                "total": len(self.requests(batch)),
                "completed": len(written["output"]),
                "failed": len(written["error"]),
            }
            for kind, lines in written.items():
                if lines:
                    batch[f"{kind}_file_id"] = self.keep("".join(json.dumps(line) + "\n" for line in lines).encode())

    def _answer(self, request: Mapping[str, Any], written: Mapping[str, list[dict[str, Any]]]) -> None:
        said = self.answer(request["body"])
        line: dict[str, Any] = {"id": "1", "custom_id": request["custom_id"], "response": None, "error": None}
        if isinstance(said, str):
            self.paid[json.dumps(request["body"])] += 1
            message = {"role": "assistant", "content": said}
            choice = {"index": 0, "finish_reason": "stop", "message": message}
            body = {"id": "1", "object": "chat.completion", "model": MODEL, "choices": [choice]}
            written["output"].append({**line, "response": {"status_code": 200, "request_id": "1", "body": body}})
        elif said is None:
            error = {"code": "batch_expired", "message": "it was not done in time"}
            written["error"].append({**line, "error": error})
        else:
            body = {"error": {"message": f"{self.refusal} with {said}"}}
            written["error"].append({**line, "response": {"status_code": said, "request_id": "1", "body": body}})

    def keep(self, content: bytes) -> str:
        name = f"file-{len(self.files)}"
        self.files[name] = content
        return name

    def create(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        assert (asked["endpoint"], asked["completion_window"]) == ("/v1/chat/completions", "24h")
        name = f"batch-{len(self.batches)}"
        self.batches[name] = {"id": name, "object": "batch", "created_at": 0, "status": "in_progress", **asked}
        return self.batches[name]


class _Handler(BaseHTTPRequestHandler):
    batches: BatchServer

    def log_message(self, *arguments: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._handle(b"")

    def do_POST(self) -> None:
        self._handle(self.rfile.read(int(self.headers["Content-Length"])))

    def _handle(self, body: bytes) -> None:
        server, address = self.batches, urlsplit(self.path)
        parts = address.path.removeprefix("/v1/").split("/")
        with server.in_hand():
            server.arrived(f"{self.command} {address.path}")
            with server.lock:
                done = self._done(parts, parse_qs(address.query), body)
        with suppress(ConnectionError):  # who asked is gone
            self._send(*done)

    def _done(self, parts: list[str], query: Mapping[str, list[str]], body: bytes) -> tuple[int, bytes]:
        server = self.batches
        match self.command, *(parts if server.serves or parts == ["models"] else []):
            case "GET", "models":
                return _json({"object": "list", "data": [{"id": MODEL, "object": "model", "owned_by": "us"}]})
            case "POST", "files":
                head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
                form = {
                    part.get_param("name", header="content-disposition"): part.get_payload(decode=True)
                    for part in BytesParser(policy=HTTP).parsebytes(head + body).iter_parts()  # type: ignore[attr-defined]
                }
                assert form["purpose"] == b"batch"
                return _json({"id": server.keep(form["file"]), "object": "file"})
            case "GET", "files", name, "content":
                return 200, server.files[name]
            case "POST", "batches":
                return _json(server.told(server.create(json.loads(body))))
            case "GET", "batches":
                names = list(reversed(server.batches))
                start = names.index(query["after"][0]) + 1 if "after" in query else 0
                page = names[start : start + server.page]
                data = [server.told(server.batches[name]) for name in page]
                return _json({"object": "list", "data": data, "has_more": start + server.page < len(names)})
            case "GET", "batches", name if name in server.batches:
                return _json(server.told(server.batches[name]))
            case "POST", "chat", "completions":
                server.plain += 1
                return 400, b'{"error": {"message": "by batch alone"}}'
        return 404, b'{"error": {"message": "there is no such thing"}}'

    def _send(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _json(content: Any) -> tuple[int, bytes]:
    return 200, json.dumps(content).encode()
