"""An OpenAI-compatible server whose answers a test decides; what it was asked can be read."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODEL = "talker"


class Server(ThreadingHTTPServer):
    request_queue_size = 128  # As many may knock at once.


Answer = Callable[[Mapping[str, Any]], "str | int | Mapping[str, Any]"]
"""What a request is answered, the status with which it is refused, or what the answer tells besides its text."""


@contextmanager
def answering(answer: Answer) -> Iterator[tuple[str, list[Mapping[str, Any]]]]:
    """Serve while the block lasts; gives the base URL and the list of all requests so far."""
    requests: list[Mapping[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *arguments: Any) -> None:
            pass

        def do_GET(self) -> None:
            self._send(200, {"data": [{"id": MODEL, "object": "model"}]})

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            requests.append(request)
            said = answer(request)
            if isinstance(said, int):
                self._send(said, {"error": {"message": f"refused with {said}"}})
            else:
                content, more = (said, {}) if isinstance(said, str) else ("", said)
                message = {"role": "assistant", "content": content}
                choice = {"index": 0, "finish_reason": "stop", "message": message, **more}
                self._send(200, {"id": "1", "object": "chat.completion", "model": MODEL, "choices": [choice]})

        def _send(self, status: int, content: Mapping[str, Any]) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", requests
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
