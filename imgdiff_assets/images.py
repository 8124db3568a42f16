"""Encoded images in, pixel arrays out; and the images of a shard's pairs, a few at a time."""

import hashlib
import io
import zlib
from collections import OrderedDict
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from imgdiff_assets.ledger import CellReference, ImageColumns, Ledger

Pixels = npt.NDArray[np.uint8]
HASH_COLUMNS = ("source_hash", "target_hash")


class DamagedImage(ValueError):
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
    except (OSError, SyntaxError, ValueError, zlib.error, Image.DecompressionBombError) as error:
        raise DamagedImage(f"the image is damaged: {error}") from error


def pixel_hash(pixels: Pixels) -> str:
    """SHA-256 of shape and pixels: the identity of an image, whatever its encoding."""
    return hashlib.sha256(repr(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes()).hexdigest()


class PairImages:
    """The decoded images of one shard's `image_pairs`, keeping the latest few pairs."""

    KEPT_PAIRS = 64

    def __init__(self, ledger: Ledger, shard: str) -> None:
        self._path = ledger.table_path("image_pairs", shard)
        self._cells = ImageColumns(["source_image", "target_image"])
        pairs = self._cells.read_others(self._path, ["pair_id", *HASH_COLUMNS]).to_pylist()
        self._rows = {pair["pair_id"]: row for row, pair in enumerate(pairs)}
        self.hashes = {pair["pair_id"]: tuple(pair[name] for name in HASH_COLUMNS) for pair in pairs}
        """Of each pair, the pixel hashes of its two images."""
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
