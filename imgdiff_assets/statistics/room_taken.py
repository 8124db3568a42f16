"""What takes the room in a home, by kind."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import PurePath
from typing import Any

from imgdiff_assets.home import Home
from imgdiff_assets.ledger.aside import ASIDE, WRONG
from imgdiff_assets.ledger.places import PARTS, STAGING, TABLE
from imgdiff_assets.ledger.store.store import store_of

ELSE = "everything else"


@dataclass(slots=True)
class RoomTaken:
    """A kind of files: how many, and their bytes."""

    what: str
    files: int = 0
    bytes: int = 0

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def room_taken(home: Home) -> list[RoomTaken]:
    """The room by kind, the largest first. Of a home in a bucket, that there and on this machine."""
    rooms: dict[str, RoomTaken] = {}
    for path, size in _files(home):
        what = _kind(path)
        room = rooms.setdefault(what, RoomTaken(what))
        room.files += 1
        room.bytes += size
    return sorted(rooms.values(), key=lambda room: (-room.bytes, room.what))


def _files(home: Home) -> Iterator[tuple[PurePath, int]]:
    """Paths from the home, and their bytes."""
    for root in dict.fromkeys((home.root, home.local)):
        for entry in store_of(root).below(root):
            yield entry.address.relative_to(root), entry.size


def _kind(path: PurePath) -> str:
    first, name = path.parts[0], path.name
    if first == "trash":
        return "shards in the trash"
    if ASIDE in name or WRONG in name:
        return "damaged files that were set aside"
    if first == PARTS:
        return f"images of {path.parts[1]}"
    if first == "ledger" and len(path.parts) > 2:
        if path.parts[1] == STAGING:
            return "batches that are in no table yet"
        return f"table {path.parts[1]}" if name == TABLE else "histories and locks"
    if first == "captions":
        return "given images" if name.endswith(".images.parquet") else "captions"
    known = {"releases": "releases", "cache": "thumbnails and ends of files", "dagster": "Dagster's instance"}
    return "the catalog" if first.startswith("catalog") else known.get(first, ELSE)
