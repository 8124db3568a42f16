"""`transformers serve` over the miniature models, and a proxy in front of it that fails as servers do."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from resources.loading import weights
from tests.hub import COMMIT
from tests.local_server import running

REWRITER, CAPTIONER = "miniature/prompt_rewriter", "miniature/captioner"


@contextmanager
def transformers_serve(root: Path) -> Iterator[str]:
    """Serve the miniature rewriter and captioner as hub models from a cache in `root`; gives the base URL."""
    cache = root / "hub"
    for model in (REWRITER, CAPTIONER):
        repository = cache / f"models--{model.replace('/', '--')}"
        (repository / "refs").mkdir(parents=True)
        (repository / "refs" / "main").write_text(COMMIT, encoding="ascii")
        snapshot = Path(
            shutil.copytree(weights.MINIATURE_FOLDER / model.partition("/")[2], repository / "snapshots" / COMMIT)
        )
        # It draws only where the model's own settings say that its answers are to be drawn.
        settings = snapshot / "generation_config.json"
        values = json.loads(settings.read_text(encoding="utf-8"))
        settings.write_text(json.dumps({**values, "do_sample": True, "top_k": 0}), encoding="utf-8")
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as free:
        port = free.server_port
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--device", "cpu", "--dtype", "float32"]
    environment = {**os.environ, "HF_HUB_CACHE": str(cache), "HF_HUB_OFFLINE": "1"}
    with (root / "log").open("wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        _wait_for(f"http://127.0.0.1:{port}/health", server, root / "log")
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.kill()
        server.wait()


def _wait_for(address: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    for _ in range(1200):
        try:
            urllib.request.urlopen(address, timeout=5).close()
        except OSError:
            assert server.poll() is None, log.read_text(encoding="utf-8")
            time.sleep(0.1)
        else:
            return
    raise TimeoutError(log.read_text(encoding="utf-8"))


class Proxy:
    """`plan` says what happens to the next questions: a status, `cut` or `hang`; when it is empty they are passed on.

    `most` is how many questions were open at once, `asked` how many there were. With `dies_after`, that many questions
    are answered, and then none. Questions with a text of `refused` in them get the status that it names.
    """

    def __init__(self, behind: str) -> None:
        self.behind = behind
        self.plan: deque[int | str] = deque()
        self.refused: dict[bytes, int] = {}
        self.asked = self.open = self.most = 0
        self.dies_after: int | None = None
        self.base_url = ""
        self.lock = threading.Lock()

    @contextmanager
    def serving(self) -> Iterator["Proxy"]:
        handler = type("Handler", (_Handler,), {"proxy": self})
        with running(handler) as address:
            self.base_url = f"{address}/v1"
            yield self


class _Handler(BaseHTTPRequestHandler):
    proxy: Proxy

    def log_message(self, *arguments: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._answer(*self._passed_on(None))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        proxy = self.proxy
        with proxy.lock:
            proxy.asked += 1
            proxy.open += 1
            proxy.most = max(proxy.most, proxy.open)
            step = proxy.plan.popleft() if proxy.plan else None
            step = next((status for text, status in proxy.refused.items() if text in body), step)
            if proxy.dies_after is not None and proxy.asked > proxy.dies_after:
                step = "cut"
        answer = None
        if isinstance(step, int):
            answer = step, json.dumps({"error": {"message": f"planned {step}"}}).encode()
        elif step == "hang":
            time.sleep(0.5)
        elif step is None:
            answer = self._passed_on(body)
        with proxy.lock:
            proxy.open -= 1
        if answer is not None:
            self._answer(*answer)

    def _passed_on(self, body: bytes | None) -> tuple[int, bytes]:
        request = urllib.request.Request(
            self.proxy.behind + self.path.removeprefix("/v1"), body, {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def _answer(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
