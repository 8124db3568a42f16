"""Near-duplicate images: few bits between their perceptual hashes, or a small angle between their vectors.

The split into training and validation is by caption and never changes, so a near-duplicate cannot be moved to the
side of its like. Instead the training side yields: what is too near to an image of the validation side is left out.
"""

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from imgdiff_assets.common.aliases import Floats, Pixels

HASH_BITS = 64
VECTOR_COLUMNS = ("source_vector", "target_vector")
"""Half-precision floats in base64, which nobody reads."""

SIGNATURE_COLUMNS = ("source_phash", "target_phash", *VECTOR_COLUMNS)
"""What a table of pairs holds of its two images, as `signatures` makes it."""

_SIDE = 32
_FREQUENCIES = 8
_BLOCK = 1024


def _cosine_transform() -> npt.NDArray[np.float64]:
    """The lowest frequencies of the discrete cosine transform (II) of `_SIDE` samples, as a matrix."""
    frequencies, samples = np.meshgrid(np.arange(_FREQUENCIES), np.arange(_SIDE), indexing="ij")
    return np.cos(np.pi * frequencies * (2 * samples + 1) / (2 * _SIDE))


_TRANSFORM = _cosine_transform()


def perceptual_hash(pixels: Pixels) -> str:
    """(H, W, 3) uint8 to 64 bits in hex, of which images that look alike share most.

    The DCT hash of Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions" (2010): which of the
    64 lowest frequencies of the grey image are above their median.
    """
    grey = Image.fromarray(pixels).convert("L").resize((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    frequencies = _TRANSFORM @ np.asarray(grey, dtype=np.float64) @ _TRANSFORM.T
    # Rounded: a frequency that is zero but for the order of additions must not decide a bit.
    frequencies = frequencies.round(6)
    return np.packbits(frequencies > np.median(frequencies)).tobytes().hex()


def signatures(images: Sequence[Pixels], vectors: Floats) -> list[dict[str, str]]:
    """The signature columns of pairs, given their images and (2N, D) unit vectors, source before target."""
    hashes = [perceptual_hash(image) for image in images]
    packed = [base64.b64encode(vector.astype("<f2").tobytes()).decode("ascii") for vector in vectors]
    rows = zip(hashes[0::2], hashes[1::2], packed[0::2], packed[1::2], strict=True)
    return [dict(zip(SIGNATURE_COLUMNS, row, strict=True)) for row in rows]


@dataclass(frozen=True, slots=True)
class Signatures:
    """The images of N pairs, source before target: (2N,) hashes and (2N, D) unit vectors."""

    hashes: npt.NDArray[np.uint64]
    vectors: Floats

    def __len__(self) -> int:
        return len(self.hashes) // 2


def unpacked(pairs: Iterable[Sequence[str]]) -> Signatures:
    """The signature columns of pairs, one sequence each, as arrays."""
    pairs = list(pairs)
    hashes = np.array([int(text, 16) for pair in pairs for text in pair[:2]], dtype=np.uint64)
    data = b"".join(base64.b64decode(text) for pair in pairs for text in pair[2:])
    vectors = np.frombuffer(data, "<f2").astype(np.float32)
    return Signatures(hashes, vectors.reshape(len(hashes), -1) if pairs else np.zeros((0, 0), np.float32))


def nearest(pairs: Signatures, others: Signatures) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """How near each of `pairs` comes to any of `others`.

    Returns, for each pair, the fewest bits and the largest cosine between one of its two images and one of theirs;
    with no others, 64 bits and -1. Vectors of another model, known by their size, are not compared.
    """
    bits = np.full(len(pairs), HASH_BITS, dtype=np.int64)
    cosines = np.full(len(pairs), -1.0)
    if not len(pairs) or not len(others):
        return bits, cosines
    for start in range(0, len(pairs), _BLOCK):
        block, images = slice(start, start + _BLOCK), slice(2 * start, 2 * (start + _BLOCK))
        differing = np.bitwise_count(pairs.hashes[images, None] ^ others.hashes[None]).min(axis=1)
        bits[block] = differing.reshape(-1, 2).min(axis=1)
        if pairs.vectors.shape[1] != others.vectors.shape[1]:
            continue
        alike = (pairs.vectors[images] @ others.vectors.T).max(axis=1)
        cosines[block] = np.clip(alike.reshape(-1, 2).max(axis=1), -1, 1)
    return bits, cosines
