"""A server on loopback that receives what huggingface_hub uploads: datasets with commits, large files sent before."""

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.local_server import running

LARGE = (".parquet", ".png")


class ReceivingHub:
    """`datasets` maps names to commits, each its files; `stored` are large files by their SHA-256, whether a commit
    names them or not. `received` are the sizes of uploads in order; after `refuse_after` of them each is refused, and
    with `refuse_commits` each commit."""

    def __init__(self) -> None:
        self.datasets: dict[str, list[dict[str, bytes]]] = {}
        self.private: set[str] = set()
        self.stored: dict[str, bytes] = {}
        self.received: list[str] = []
        self.refuse_after: int | None = None
        self.refuse_commits = False
        self.address = ""

    def files(self, repo: str) -> dict[str, bytes]:
        """Those that anybody sees."""
        return self.datasets[repo][-1]

    @contextmanager
    def serving(self) -> Iterator["ReceivingHub"]:
        handler = type("Handler", (_Handler,), {"hub": self})
        with running(handler) as address:
            self.address = address
            yield self


class _Handler(BaseHTTPRequestHandler):
    hub: ReceivingHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: Any) -> None:
        pass

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path).strip("/")
        found = re.fullmatch(r"api/datasets/([^/]+/[^/]+)(/tree/[^/]+|/revision/[^/]+)?/?", path)
        if found is None or found[1] not in self.hub.datasets:
            self._json({"error": "Repository not found"}, 401, {"X-Error-Code": "RepoNotFound"})
        elif found[2] and found[2].startswith("/tree"):
            self._json([self._told(name, data) for name, data in sorted(self.hub.files(found[1]).items())])
        else:
            self._json({"id": found[1], "sha": self._commit_of(found[1]), "siblings": []})

    def do_POST(self) -> None:
        body = self._body()
        path = unquote(urlsplit(self.path).path).strip("/")
        if path == "api/repos/create":
            asked = json.loads(body)
            repo = f"{asked.get('organization', 'me')}/{asked['name']}"
            self.hub.datasets.setdefault(repo, [{}])
            if asked.get("private") or asked.get("visibility") == "private":
                self.hub.private.add(repo)
            self._json({"url": f"{self.hub.address}/datasets/{repo}"})
        elif path == "api/validate-yaml":
            self._json({"errors": [], "warnings": []})
        elif found := re.fullmatch(r"api/datasets/([^/]+/[^/]+)/preupload/[^/]+", path):
            self._json({"files": [self._mode(found[1], each) for each in json.loads(body)["files"]]})
        elif re.fullmatch(r"datasets/[^/]+/[^/]+\.git/info/lfs/objects/batch", path):
            self._json({"transfer": "basic", "objects": [self._wanted(each) for each in json.loads(body)["objects"]]})
        elif found := re.fullmatch(r"api/datasets/([^/]+/[^/]+)/commit/[^/]+", path):
            self._commit(found[1], [json.loads(line) for line in body.splitlines() if line])
        else:
            self._json({"error": path}, 404)

    def do_PUT(self) -> None:
        name, data = self.path.rpartition("/")[2], self._body()
        if self.hub.refuse_after is not None and len(self.hub.received) >= self.hub.refuse_after:
            self._json({"error": "ailing"}, 501)
            return
        assert hashlib.sha256(data).hexdigest() == name
        self.hub.received.append(name)
        self.hub.stored[name] = data
        self._json({})

    def _mode(self, repo: str, asked: dict[str, Any]) -> dict[str, Any]:
        mode = "lfs" if asked["path"].endswith(LARGE) else "regular"
        return {"path": asked["path"], "uploadMode": mode, "shouldIgnore": False}

    def _wanted(self, asked: dict[str, Any]) -> dict[str, Any]:
        if asked["oid"] in self.hub.stored:
            return asked
        return {**asked, "actions": {"upload": {"href": f"{self.hub.address}/store/{asked['oid']}"}}}

    def _commit(self, repo: str, lines: list[dict[str, Any]]) -> None:
        if self.hub.refuse_commits:
            self._json({"error": "ailing"}, 501)
            return
        (head,) = (line["value"] for line in lines if line["key"] == "header")
        if head.get("parentCommit") not in (None, self._commit_of(repo)):
            self._json({"error": "somebody else's commit came between"}, 412)
            return
        files = dict(self.hub.files(repo))
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.hub.stored[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        self.hub.datasets[repo].append(files)
        oid = self._commit_of(repo)
        self._json(
            {"success": True, "commitOid": oid, "commitUrl": f"{self.hub.address}/datasets/{repo}/commit/{oid}"}
        )

    def _commit_of(self, repo: str) -> str:
        return hashlib.sha1(f"{repo} {len(self.hub.datasets[repo])}".encode()).hexdigest()

    def _told(self, name: str, data: bytes) -> dict[str, Any]:
        oid = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        told: dict[str, Any] = {"type": "file", "path": name, "size": len(data), "oid": oid}
        if name.endswith(LARGE):
            told["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
        return told

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            data = b""
            while size := int(self.rfile.readline().strip() or b"0", 16):
                data += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return data
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _json(self, value: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        for name, text in (headers or {}).items():
            self.send_header(name, text)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
