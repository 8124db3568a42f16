"""Checksums that `sha256sum --check` reads."""

import hashlib
from pathlib import Path

CHECKSUMS = "SHA256SUMS"


def digest(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_checksums(folder: Path) -> None:
    """One line for every file below `folder` but this one and those that begin with a dot."""
    paths = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    names = [path.as_posix() for path in paths if not path.name.startswith(".") and path.name != CHECKSUMS]
    lines = [f"{digest(folder / name)}  {name}\n" for name in names]
    (folder / CHECKSUMS).write_text("".join(lines), encoding="utf-8")
