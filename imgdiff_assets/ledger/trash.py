"""What a ledger holds of one shard, taken out and put back as it is: tables, histories and unfinished batches."""

from pathlib import PurePath

from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.store.entry import Entry
from imgdiff_assets.ledger.store.store import store_of


def take_out(ledger: Ledger, shard: str, trash: PurePath) -> None:
    """Move all of a shard into the folder `trash`. Stopped in the middle, it goes on when called again."""
    for folder in _folders(ledger.root, shard):
        store_of(folder).rename(folder, trash / folder.relative_to(ledger.root))


def put_back(ledger: Ledger, shard: str, trash: PurePath) -> None:
    """Undo `take_out`, in the same way."""
    for folder in _folders(trash, shard):
        store_of(folder).rename(folder, ledger.root / folder.relative_to(trash))


def bytes_of(root: PurePath, shard: str) -> int:
    """What the files of a shard take below a ledger's root, or below the trash."""
    return sum(entry.size for entry in _files(root, shard))


def _folders(root: PurePath, shard: str) -> list[PurePath]:
    files = [entry.address.relative_to(root).parts for entry in _files(root, shard)]
    return sorted({root.joinpath(*parts[: 3 if parts[0] == ".staging" else 2]) for parts in files})


def _files(root: PurePath, shard: str) -> list[Entry]:
    """In a bucket, the history is a folder of its own."""
    patterns = (f"*/shard={shard}/*", f"*/shard={shard}/*/*", f".staging/*/{shard}/*")
    return [entry for pattern in patterns for entry in store_of(root).find(root, pattern)]
