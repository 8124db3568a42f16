"""Encoded images in, pixel arrays out; and the images of a shard's pairs, a few at a time."""

import hashlib
import io
from collections import OrderedDict
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from imgdiff_assets.ledger import CellReference, ImageColumns, Ledger

Pixels = npt.NDArray[np.uint8]


def encode_png(pixels: Pixels, compression: int) -> bytes:
    """(H, W, 3) uint8 RGB to a lossless PNG; equal pixels give equal bytes with one version of Pillow."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", compress_level=compression)
    return buffer.getvalue()


def decode(data: bytes) -> Pixels:
    """Encoded bytes to (H, W, 3) uint8 RGB. Raises PIL.UnidentifiedImageError or OSError for damaged data."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def pixel_hash(pixels: Pixels) -> str:
    """SHA-256 of shape and pixels: the identity of an image, whatever its encoding."""
    return hashlib.sha256(repr(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes()).hexdigest()


class PairImages:
    """The decoded images of one shard's `image_pairs`, keeping the latest few pairs."""

    KEPT_PAIRS = 64

    def __init__(self, ledger: Ledger, shard: str) -> None:
        self._path = ledger.table_path("image_pairs", shard)
        self._rows = {key: row for row, key in enumerate(ledger.read("image_pairs", shard)["pair_id"].to_pylist())}
        self._cells = ImageColumns(["source_image", "target_image"])
        self._pairs: OrderedDict[str, tuple[Pixels, Pixels]] = OrderedDict()

    def __call__(self, pair_id: str) -> tuple[Pixels, Pixels]:
        """Source and target image, each (H, W, 3) uint8."""
        if pair_id not in self._pairs:
            cells = self.encoded(pair_id)
            self._pairs[pair_id] = (decode(cells["source_image"]["bytes"]), decode(cells["target_image"]["bytes"]))
            if len(self._pairs) > self.KEPT_PAIRS:
                self._pairs.popitem(last=False)
        return self._pairs[pair_id]

    def encoded(self, pair_id: str) -> dict[str, Any]:
        """The two image cells (`{"bytes", "path"}`) as they lie in the ledger. Raises KeyError for an unknown pair."""
        return self._cells.read(CellReference(self._path, self._rows[pair_id]))

    def close(self) -> None:
        self._cells.close()
