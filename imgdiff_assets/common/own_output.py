"""How a folder that `imgdiff export` or `imgdiff release` wrote is known again."""

import json
from pathlib import Path

MARKER = "export.json"
MADE_BY = "imgdiff export"


def is_export(folder: Path) -> bool:
    """Whether a folder is an export, whole."""
    try:
        return is_ours((folder / MARKER).read_bytes())
    except OSError:
        return False


def is_ours(marker: bytes) -> bool:
    """Whether a file of the name MARKER is one that an export wrote."""
    try:
        told = json.loads(marker)
    except ValueError:
        return False
    return isinstance(told, dict) and told.get("made_by") == MADE_BY


def export_around(path: Path) -> Path | None:
    """The export that a file or folder is, lies in, or holds; None where there is none."""
    path = path.expanduser().absolute()
    inside = (marker.parent for marker in path.rglob(MARKER)) if path.is_dir() else ()
    return next((folder for folder in (path, *path.parents, *inside) if is_export(folder)), None)
