"""Encoded images in, pixel arrays out; and the images of a shard's rows, a few at a time."""

import hashlib
import io
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

import numpy as np
from PIL import Image

from imgdiff_assets.common.aliases import Pixels
from imgdiff_assets.common.errors import ImgDiffError
from imgdiff_assets.ledger.cells import CellReference, ImageColumns
from imgdiff_assets.ledger.checked_file import DamagedTable
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.tables import column_names

HASH_COLUMNS = ("source_hash", "target_hash")


class ImagesDropped(ImgDiffError, LookupError):
    """Images of a row that were made, and are not kept any more; `path` is the table that had them."""

    def __init__(self, identity: str, path: PurePath) -> None:
        super().__init__(
            f"{identity}: its image was dropped, as the recipe's retention says. `imgdiff replay {identity}` makes it "
            "again."
        )
        self.path = path


class DamagedImage(ImgDiffError, ValueError):
    """Bytes that are not a whole image."""


def encode_png(pixels: Pixels, compression: int) -> bytes:
    """(H, W, 3) uint8 RGB to a lossless PNG; equal pixels give equal bytes with one version of Pillow."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", compress_level=compression)
    return buffer.getvalue()


def decode(data: bytes) -> Pixels:
    """Encoded bytes to (H, W, 3) uint8 RGB. Raises DamagedImage."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image.convert("RGB"))
    except Exception as error:  # whatever a decoder raises, the image is at fault
        raise DamagedImage(f"the image is damaged: {error}") from error


def pixel_hash(pixels: Pixels) -> str:
    """SHA-256 of shape and pixels: the identity of an image, whatever its encoding."""
    return hashlib.sha256(repr(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes()).hexdigest()


class StoredImages:
    """The decoded images of rows, by id, keeping those of the latest rows, few if they are large.

    `locate` says where the cells of a row lie, `columns` which of them are meant.
    """

    KEPT_ROWS = 64
    KEPT_BYTES = 100_000_000

    def __init__(self, columns: Sequence[str], locate: Callable[[str], CellReference]) -> None:
        self._columns, self._locate = columns, locate
        self._cells = ImageColumns(columns)
        self._decoded: OrderedDict[str, tuple[Pixels, ...]] = OrderedDict()
        self._again: dict[str, Mapping[str, Any]] = {}

    def __call__(self, identity: str) -> tuple[Pixels, ...]:
        """One (H, W, 3) uint8 image per column. Raises KeyError for an unknown id."""
        if identity not in self._decoded:
            cells = self._again.get(identity) or self.encoded(identity)
            if None in cells.values():
                raise ImagesDropped(identity, self._locate(identity).path)
            self._decoded[identity] = tuple(decode(cells[column]["bytes"]) for column in self._columns)
            # Images of one table are about as large as each other.
            size = sum(image.nbytes for image in self._decoded[identity])
            while len(self._decoded) > min(self.KEPT_ROWS, max(self.KEPT_BYTES // size, 1)):
                self._decoded.popitem(last=False)
        return self._decoded[identity]

    def made_again(self, identity: str, cells: Mapping[str, Any]) -> None:
        """Have these cells stand for those of a row whose images are not kept."""
        self._again[identity] = {column: cells[column] for column in self._columns}

    def encoded(self, identity: str) -> dict[str, Any]:
        """The cells (`{"bytes", "path"}`) as they lie in the ledger. Raises KeyError for an unknown id."""
        return self._cells.read(self._locate(identity))

    def reference(self, identity: str) -> CellReference:
        """Where the cells of a row lie. Raises KeyError for an unknown id."""
        return self._locate(identity)

    def close(self) -> None:
        self._cells.close()


class TableImages(StoredImages):
    """The images of the rows of some files, by the id in one of their columns."""

    def __init__(self, paths: Sequence[PurePath], id_column: str, columns: Sequence[str]) -> None:
        rows: dict[str, CellReference] = {}
        super().__init__(columns, rows.__getitem__)
        for path in paths:
            ids = self._cells.read_others(path, [id_column])[id_column].to_pylist()
            rows.update({identity: CellReference(path, row) for row, identity in enumerate(ids)})


class PairImages(TableImages):
    """Source and target image of the pairs of one shard, by `pair_id`: of those drawn or given, and those derived."""

    asset = "image_pairs"
    derived = "derived_pairs"
    columns = ("source_image", "target_image")

    def __init__(self, ledger: Ledger, shard: str, derived: bool = True) -> None:
        """With `derived`, of derived pairs too, where there are any."""
        tables = [self.asset, *([self.derived] if derived and ledger.exists(self.derived, shard) else [])]
        paths = [ledger.table_path(table, shard) for table in tables]
        super().__init__(paths, "pair_id", self.columns)
        pairs = [
            row for path in paths for row in self._cells.read_others(path, ["pair_id", *HASH_COLUMNS]).to_pylist()
        ]
        self.hashes = {pair["pair_id"]: tuple(pair[name] for name in HASH_COLUMNS) for pair in pairs}
        """Of each pair, the pixel hashes of its two images."""

    def __call__(self, identity: str) -> tuple[Pixels, Pixels]:
        """Source and target image, each (H, W, 3) uint8. Raises KeyError for an unknown pair."""
        source, target = super().__call__(identity)
        return source, target


class GivenImages(TableImages):
    """The images of one file that were given: of pairs by `pair_id`, or pictures, each by its `caption_id`."""

    def __init__(self, path: PurePath) -> None:
        names = column_names(path)
        id_column = "pair_id" if "pair_id" in names else "caption_id"
        super().__init__([path], id_column, [name for name in PairImages.columns if name in names])

    def encoded(self, identity: str) -> dict[str, Any]:
        """The cells as they were ingested. Raises KeyError for an unknown id, DamagedImage."""
        try:
            return super().encoded(identity)
        except DamagedTable as damage:  # which nothing measures again, so that it is the fault of these pairs alone
            raise DamagedImage(f"{damage.path}: {damage.reason}") from damage


class ErasedImages(TableImages):
    """The images of one shard from which a region was erased, by `region_id`."""

    asset = "removed_pairs"
    columns = ("erased_image",)

    def __init__(self, ledger: Ledger, shard: str) -> None:
        super().__init__([ledger.table_path(self.asset, shard)], "region_id", self.columns)
