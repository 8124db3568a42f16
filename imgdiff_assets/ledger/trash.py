"""What a ledger holds of one shard, taken out and put back as it is: tables, histories, unfinished batches, images."""

from pathlib import PurePath

from imgdiff_assets.ledger import places
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.store.entry import Entry
from imgdiff_assets.ledger.store.store import store_of


def take_out(ledger: Ledger, shard: str, trash: PurePath) -> None:
    """Move all of a shard into the folder `trash`. Stopped in the middle, it goes on when called again."""
    for folder in _folders(ledger.root, shard):
        store_of(folder).rename(folder, _elsewhere(folder, ledger.root, trash))


def put_back(ledger: Ledger, shard: str, trash: PurePath) -> None:
    """Undo `take_out`, in the same way."""
    for folder in _folders(trash, shard):
        store_of(folder).rename(folder, _elsewhere(folder, trash, ledger.root))


def bytes_of(root: PurePath, shard: str) -> int:
    """What the files of a shard take below a ledger's root, or below the trash."""
    return sum(entry.size for entry in _files(root, shard))


def _folders(root: PurePath, shard: str) -> list[PurePath]:
    """Parts first: a table is never anywhere without them."""
    files = [entry.address for entry in _files(root, shard)]
    below = {path.relative_to(root).parts for path in files if path.is_relative_to(root)}
    folders = sorted({root.joinpath(*parts[: 3 if parts[0] == places.STAGING else 2]) for parts in below})
    return [*sorted({path.parent for path in files if not path.is_relative_to(root)}), *folders]


def _elsewhere(folder: PurePath, root: PurePath, other: PurePath) -> PurePath:
    if folder.is_relative_to(root):
        return other / folder.relative_to(root)
    return other.parent / folder.relative_to(root.parent)


def _files(root: PurePath, shard: str) -> list[Entry]:
    """In a bucket, the history is a folder of its own."""
    patterns = (f"*/shard={shard}/*", f"*/shard={shard}/*/*", f"{places.STAGING}/*/{shard}/*")
    found = [entry for pattern in patterns for entry in store_of(root).find(root, pattern)]
    parts = root.with_name(places.PARTS)
    return found + store_of(root).find(parts, f"*/{places.SHARD}{shard}/*")
