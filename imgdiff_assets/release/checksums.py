"""Checksums that `sha256sum --check` reads."""

from pathlib import Path

from imgdiff_assets.common.hashing import file_hash

CHECKSUMS = "SHA256SUMS"


def write_checksums(folder: Path) -> None:
    """One line for every file below `folder` but this one and those that begin with a dot."""
    paths = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    names = [path.as_posix() for path in paths if not path.name.startswith(".") and path.name != CHECKSUMS]
    lines = [f"{file_hash(folder / name)}  {name}\n" for name in names]
    (folder / CHECKSUMS).write_text("".join(lines), encoding="utf-8")
