"""Which program a server is, of which version, and whether its answers hang on what is asked beside them."""

import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

REMEMBERED_SECONDS = 60
PATIENCE = 5.0
MOST_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Engine:
    """What a server tells of itself; None is what it does not tell.

    `invariant`: whether it says that its answers do not depend on other questions of a batch.
    """

    name: str | None = None
    version: str | None = None
    invariant: bool | None = None

    def __str__(self) -> str:
        if self == Engine():
            return "server"
        said = {None: "batch invariance not told", True: "batch-invariant", False: "not batch-invariant"}
        return f"server ({self.name or 'unknown'} {self.version or 'of unknown version'}, {said[self.invariant]})"


def engine_of(base_url: str) -> Engine:
    """Ask a server what it is, at most once a minute; one that tells nothing, or is not there, is an `Engine()`."""
    return _asked(base_url.rstrip("/"), int(time.monotonic() // REMEMBERED_SECONDS))


@lru_cache(maxsize=64)
def _asked(base_url: str, minute: int) -> Engine:
    root = base_url.removesuffix("/v1")
    version = _told(f"{root}/version")
    info = _told(f"{root}/server_info") or _told(f"{root}/get_server_info")
    if version is not None and isinstance(version.get("version"), str):
        return Engine("vllm", version["version"], _flag(info, "VLLM_BATCH_INVARIANT", "batch_invariant"))
    if info is not None and isinstance(info.get("version"), str):
        return Engine("sglang", info["version"], _flag(info, "enable_deterministic_inference"))
    listed = _told(f"{base_url}/models")
    owners = {str(entry.get("owned_by")) for entry in (listed or {}).get("data", []) if isinstance(entry, dict)}
    known = owners & {"vllm", "sglang"}
    return Engine(known.pop()) if len(known) == 1 else Engine()


def _told(address: str) -> dict[str, Any] | None:
    """The JSON object at an address, without a key: what needs one is not asked."""
    try:
        with urllib.request.urlopen(address, timeout=PATIENCE) as answer:
            told = json.loads(answer.read(MOST_BYTES))
    except (OSError, ValueError, urllib.error.URLError):
        return None
    return told if isinstance(told, dict) else None


def _flag(info: Any, *names: str) -> bool | None:
    """The value of the first of some settings, wherever it stands in what a server tells."""
    if isinstance(info, dict):
        for name in names:
            if name in info:
                return str(info[name]).lower() in ("1", "true", "yes")
        found = [_flag(value, *names) for value in info.values()]
        return next((value for value in found if value is not None), None)
    return None
