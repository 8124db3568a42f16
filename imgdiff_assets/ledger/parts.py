"""Image parts: encoded images in files that are named by their content, and written once.

`<home>/parts/<asset>/shard=<key>/<name>.parquet` has the images that one batch made. Tables and batches say of each
image its part and its row there, so that a table is rewritten without its images.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import PurePath
from typing import Any

import numpy as np

from imgdiff_assets.common.aliases import Booleans, Row
from imgdiff_assets.ledger.aside import set_aside
from imgdiff_assets.ledger.cells import PART_SCHEMA, is_place, open_part
from imgdiff_assets.ledger.checked_file import DamagedTable
from imgdiff_assets.ledger.places import PARQUET
from imgdiff_assets.ledger.store.entry import Entry, Replaced
from imgdiff_assets.ledger.store.store import store_of
from imgdiff_assets.ledger.tables import verify, write_rows

NAME_LENGTH = 32
ROWS_PER_GROUP = 4
"""Whoever shows one image reads few others with it."""


def hash_column(image_column: str) -> str:
    """The column that says which image it is."""
    return f"{image_column.removesuffix('_image')}_hash"


class Parts:
    """The parts in one folder: those of one table and its batches."""

    def __init__(self, folder: PurePath) -> None:
        self.folder = folder
        self._there: set[str] | None = None

    def path(self, name: str) -> PurePath:
        return self.folder / f"{name}{PARQUET}"

    def entries(self) -> list[Entry]:
        return store_of(self.folder).find(self.folder, f"*{PARQUET}")

    def put(self, images: Sequence[Mapping[str, Any]]) -> str:
        """Make images durable, rows of `PART_SCHEMA`; returns the part's name. What is there already stays.

        Others may put parts meanwhile. Raises NotWritten, StoreError.
        """
        name = _name(images)
        path = self.path(name)
        if store_of(path).version(path) is None:
            with suppress(Replaced):  # by another's, which is the same
                write_rows(path, images, PART_SCHEMA, expected=None, shared=True, group_rows=ROWS_PER_GROUP)
        if self._there is not None:
            self._there.add(name)
        return name

    def keep(self, rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[Row]:
        """The rows with the places of their images in the columns of these `names`.

        Images that the rows have, and those whose part was set aside since, are put into one part. Raises
        DamagedTable where an image is wanted that is lost.
        """
        kept = [dict(row) for row in rows]
        images, places = [], []
        for row in kept:
            for name in names:
                cell = row.get(name)
                if cell is not None and is_place(cell) and not self._has(cell["part"]):
                    cell = self._read(cell)
                if cell is not None and not is_place(cell):
                    known = row.get(hash_column(name)) or hashlib.sha256(cell["bytes"]).hexdigest()
                    images.append({"hash": known, "image": cell})
                    places.append((row, name))
                else:
                    row[name] = cell
        part = self.put(images) if images else ""
        for number, (row, name) in enumerate(places):
            row[name] = {"part": part, "row": number}
        return kept

    def lost(self, places: Iterable[Mapping[str, Any] | None]) -> Booleans:
        """Of each place whether its image cannot be read, not even from what was set aside.

        A damaged part is set aside, so that the same images may be put again; for whoever alone writes there.
        """
        whole: dict[str, Booleans] = {}
        return np.array([place is not None and not self._is_whole(place, whole) for place in places], dtype=bool)

    def _is_whole(self, place: Mapping[str, Any], known: dict[str, Booleans]) -> bool:
        name, row = place["part"], place["row"]
        if name not in known:
            known[name] = self._whole(name)
        return bool(row < len(known[name]) and known[name][row])

    def _whole(self, name: str) -> Booleans:
        path = self.path(name)
        whole = np.zeros(0, dtype=bool)
        with suppress(DamagedTable), closing(open_part(path)) as part:
            whole = np.ones(int(part.file.bounds[-1]), dtype=bool)
            for damage in part.file.damages(PART_SCHEMA.names):
                whole[damage.first : damage.end] = False
        try:
            verify(path)
        except FileNotFoundError:
            pass
        except DamagedTable:
            set_aside(path)
        return whole

    def _has(self, name: str) -> bool:
        if self._there is None:
            self._there = {entry.address.name.removesuffix(PARQUET) for entry in self.entries()}
        return name in self._there

    def _read(self, place: Mapping[str, Any]) -> Any:
        with closing(open_part(self.path(place["part"]))) as part:
            return part.group_of(place["row"]).cells(place["row"])["image"]


def _name(images: Sequence[Mapping[str, Any]]) -> str:
    digest = hashlib.sha256()
    for row in images:
        for value in (row["hash"].encode(), (row["image"]["path"] or "").encode(), row["image"]["bytes"]):
            digest.update(len(value).to_bytes(8, "little") + value)
    return digest.hexdigest()[:NAME_LENGTH]
