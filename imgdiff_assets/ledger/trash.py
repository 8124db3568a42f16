"""What a ledger holds of one shard, taken out and put back as it is: tables, histories and unfinished batches."""

import os
from collections.abc import Iterator
from pathlib import Path

from imgdiff_assets.ledger.ledger import Ledger


def take_out(ledger: Ledger, shard: str, trash: Path) -> None:
    """Move all of a shard into the folder `trash`. Stopped in the middle, it goes on when called again."""
    for folder in _folders(ledger.root, shard):
        move(folder, trash / folder.relative_to(ledger.root))


def put_back(ledger: Ledger, shard: str, trash: Path) -> None:
    """Undo `take_out`, in the same way."""
    for folder in _folders(trash, shard):
        move(folder, ledger.root / folder.relative_to(trash))


def bytes_of(root: Path, shard: str) -> int:
    """What the files of a shard take below a ledger's root, or below the trash."""
    files = (file for folder in _folders(root, shard) for file in folder.rglob("*"))
    return sum(file.stat().st_size for file in files if file.is_file())


def move(path: Path, to: Path) -> None:
    """Rename within the home."""
    to.parent.mkdir(parents=True, exist_ok=True)
    os.rename(path, to)


def _folders(root: Path, shard: str) -> Iterator[Path]:
    yield from sorted(root.glob(f"*/shard={shard}"))
    yield from sorted(root.glob(f".staging/*/{shard}"))
