"""Where an answer ends, in the words that a server takes."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import openai
import pytest

from resources.chat_server import ServedPromptRewriter
from resources.prompt_rewriter import PromptRewriterSettings

ASKED: list[dict[str, Any]] = []
REFUSED = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *arguments: Any) -> None:
        pass

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        ASKED.append(request)
        if "max_tokens" in request:
            return self.answer(400, {"error": {"message": REFUSED if request["model"] == "new" else "no such thing"}})
        message = {"role": "assistant", "content": "a cube"}
        choices = [{"index": 0, "finish_reason": "stop", "message": message}]
        return self.answer(
            200, {"id": "1", "object": "chat.completion", "created": 0, "model": "", "choices": choices}
        )

    def answer(self, status: int, content: Any) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def base_url() -> Iterator[str]:
    ASKED.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()
        thread.join()


def rewriter(base_url: str, model: str) -> ServedPromptRewriter:
    values = {"model": model, "base_url": base_url, "prompt": "{caption}", "max_new_tokens": 7, "concurrency": 1}
    return ServedPromptRewriter(PromptRewriterSettings.model_validate({**values, "max_retries": 0}))


def test_a_server_that_wants_the_newer_name_is_told_it_from_then_on(base_url: str) -> None:
    assert rewriter(base_url, "new").rewrite(["a ball", "a cup"], [0, 1]) == ["a cube", "a cube"]
    limits = [(request.get("max_tokens"), request.get("max_completion_tokens")) for request in ASKED]
    assert limits == [(7, None), (None, 7), (None, 7)]


def test_any_other_refusal_is_the_question_s(base_url: str) -> None:
    with pytest.raises(openai.BadRequestError, match="no such thing"):
        rewriter(base_url, "other").rewrite(["a ball"], [0])
    assert len(ASKED) == 1
