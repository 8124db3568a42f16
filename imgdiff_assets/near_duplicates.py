"""Near-duplicate images: few bits between their perceptual hashes, or a small angle between their vectors.

The split into training and validation is by caption and never changes, so a near-duplicate cannot be moved to the
side of its like. Instead the training side yields: what is too near to an image of the validation side is left out.
"""

import base64
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

HASH_BITS = 64
SIGNATURE_COLUMNS = ("source_phash", "target_phash", "source_vector", "target_vector")
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


def nearest(
    pairs: Sequence[Sequence[str]], others: Sequence[Sequence[str]]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """How near each of `pairs` comes to any of `others`, both given by their signature columns.

    Returns, for each pair, the fewest bits and the largest cosine between one of its two images and one of theirs;
    with no others, 64 bits and -1.
    """
    bits = np.full(len(pairs), HASH_BITS, dtype=np.int64)
    cosines = np.full(len(pairs), -1.0)
    if not pairs or not others:
        return bits, cosines
    hashes, vectors = _unpacked(pairs)
    other_hashes, other_vectors = _unpacked(others)
    for start in range(0, len(pairs), _BLOCK):
        block = slice(start, start + _BLOCK)
        mine = slice(2 * start, 2 * (start + _BLOCK))
        differing = np.bitwise_count(hashes[mine, None] ^ other_hashes[None]).min(axis=1)
        bits[block] = differing.reshape(-1, 2).min(axis=1)
        alike = (vectors[mine] @ other_vectors.T).max(axis=1)
        cosines[block] = np.clip(alike.reshape(-1, 2).max(axis=1), -1, 1)
    return bits, cosines


def _unpacked(pairs: Sequence[Sequence[str]]) -> tuple[npt.NDArray[np.uint64], Floats]:
    """(2N,) hashes and (2N, D) vectors of N pairs, source before target."""
    hashes = np.array([int(text, 16) for pair in pairs for text in pair[:2]], dtype=np.uint64)
    data = b"".join(base64.b64decode(text) for pair in pairs for text in pair[2:])
    return hashes, np.frombuffer(data, "<f2").astype(np.float32).reshape(len(hashes), -1)
