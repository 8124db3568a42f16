"""A server on loopback that speaks what huggingface_hub asks of the hub, over models in folders of this machine."""

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.local_server import running

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REVISIONS = ("main", COMMIT)
GATED = "team/gated"


class Hub:
    """`folders` maps model ids to folders, and names of plain files to files. `asked` are the GET requests for files,
    each with the range it asked for. The first answer for a file in `cut` ends after that many bytes;
    those in `refused` are answered with an error."""

    def __init__(self, folders: dict[str, Path]) -> None:
        self.folders = folders
        self.asked: list[tuple[str, str | None]] = []
        self.cut: dict[str, int] = {}
        self.refused: set[str] = set()
        self.address = ""

    def fetched(self) -> set[str]:
        """The names of the files that were asked for, which are then forgotten."""
        names = {name for name, _ in self.asked}
        self.asked.clear()
        return names

    @contextmanager
    def serving(self) -> Iterator["Hub"]:
        handler = type("Handler", (_Handler,), {"hub": self})
        with running(handler) as address:
            self.address = address
            yield self


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path).strip("/")
        about = re.fullmatch(r"api/models/(?P<model>[^/]+/[^/]+)(/revision/(?P<revision>[^/]+))?", path)
        tree = re.fullmatch(r"api/models/(?P<model>[^/]+/[^/]+)/tree/(?P<revision>[^/]+)", path)
        file = re.fullmatch(r"(?P<model>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<name>.+)", path)
        found = about or tree or file
        if found is None and path in self.hub.folders:
            self._file(self.hub.folders[path])
        elif found is None or found["model"] not in self.hub.folders:
            self._error(404 if found is None else 401, "RepoNotFound")
        elif found["model"] == GATED:
            self._error(403, "GatedRepo")
        elif (found["revision"] or "main") not in REVISIONS:
            self._error(404, "RevisionNotFound")
        elif file:
            self._file(self.hub.folders[file["model"]] / file["name"])
        else:
            self._json(self._about(found["model"]) if about else self._tree(found["model"]))

    def _about(self, model: str) -> dict[str, Any]:
        return {"id": model, "sha": COMMIT, "siblings": [{"rfilename": each["path"]} for each in self._tree(model)]}

    def _tree(self, model: str) -> list[dict[str, Any]]:
        root = self.hub.folders[model]
        files = sorted(path for path in root.rglob("*") if path.is_file())
        return [
            {
                "type": "file",
                "path": path.relative_to(root).as_posix(),
                "size": path.stat().st_size,
                "oid": _digest(path)[:40],
                **(
                    {"lfs": {"oid": _digest(path), "size": path.stat().st_size, "pointerSize": 130}}
                    if path.suffix != ".json"
                    else {}
                ),
            }
            for path in files
        ]

    def _file(self, path: Path) -> None:
        if not path.is_file():
            self._error(404, "EntryNotFound")
            return
        if path.name in self.hub.refused:
            self._error(501, "Ailing")  # which huggingface_hub does not ask again, as it does after a 500
            return
        content = path.read_bytes()
        asked = self.headers.get("Range")
        start = int(asked.removeprefix("bytes=").partition("-")[0]) if asked else 0
        if asked and start >= len(content):
            self._error(416, "RangeNotSatisfiable")
            return
        self.send_response(206 if asked else 200)
        self.send_header("ETag", f'"{_digest(path) if path.suffix != ".json" else _digest(path)[:40]}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(content) - start))
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        if self.command == "HEAD":
            return
        self.hub.asked.append((path.name, asked))
        cut = self.hub.cut.pop(path.name, None)
        self.wfile.write(content[start:cut])
        if cut is not None:
            self.close_connection = True

    def _json(self, value: Any) -> None:
        content = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _error(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("X-Error-Message", code)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", "0")
        self.end_headers()


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
