"""Values measured twice: are they the same, the same but for rounding, or different."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import pyarrow as pa

from imgdiff_assets.ledger.cells import is_image
from imgdiff_assets.ledger.images import DamagedImage, decode, pixel_hash

IMAGE_SUFFIX, HASH_SUFFIX = "_image", "_hash"
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far apart values may be for rounding alone: `pixels` of 255; `numbers` absolute up to one, then relative."""

    pixels: int
    numbers: float


def tolerance(dtypes: Sequence[str]) -> Tolerance:
    """What models of these types differ by between batches of other shapes, with room for other devices.

    In float32 that is 1 of 255 and 1e-6; in bfloat16 a cosine moves by 2e-3.
    """
    return Tolerance(2, 1e-3) if all(dtype == "float32" for dtype in dtypes) else Tolerance(16, 2e-2)


class Verdict(IntEnum):
    """From best to worst, so that the worst of several is their maximum."""

    SAME = 0
    CLOSE = 1
    DIFFERS = 2

    def __str__(self) -> str:
        return ("same", "same within tolerance", "differs")[self]


@dataclass(frozen=True, slots=True)
class Comparison:
    """One value: as recorded and as made again (of images: the hashes of their pixels), and how far they are apart."""

    name: str
    verdict: Verdict
    recorded: Any
    again: Any
    difference: str = ""


def compare(columns: Sequence[pa.Field], recorded: Row, again: Row, limits: Tolerance) -> list[Comparison]:
    """Compare the columns of a measurement. The hash of an image's pixels is compared with the image."""
    images = {column.name.removesuffix(IMAGE_SUFFIX) for column in columns if is_image(column)}
    comparisons = []
    for column in columns:
        name = column.name
        if is_image(column):
            stored_hash = recorded[name.removesuffix(IMAGE_SUFFIX) + HASH_SUFFIX]
            cell = recorded[name]
            pictures = None if cell is None else cell["bytes"], again[name]["bytes"]
            comparisons.append(_compare_images(name, *pictures, stored_hash, limits.pixels))
        elif name.removesuffix(HASH_SUFFIX) not in images:
            as_stored = pa.scalar(again[name], column.type).as_py()
            comparisons.append(_compare_values(name, recorded[name], as_stored, limits.numbers))
    return comparisons


def closest(columns: Sequence[pa.Field], recorded: Row, candidates: Sequence[Row]) -> Row:
    """Of several rows made again, the one that is meant by the recorded one."""

    def distance(candidate: Row) -> tuple[int, float]:
        unlike, apart = 0, 0.0
        for column in columns:
            one, other = recorded[column.name], candidate[column.name]
            if isinstance(one, float) and isinstance(other, float):
                apart += abs(one - other)
            else:
                unlike += one != other
        return unlike, apart

    return min(candidates, key=distance)


def _compare_values(name: str, recorded: Any, again: Any, most: float) -> Comparison:
    if recorded == again:
        return Comparison(name, Verdict.SAME, recorded, again)
    if isinstance(recorded, float) and isinstance(again, float):
        apart = abs(recorded - again)
        close = apart <= most * max(1.0, abs(recorded))
        return Comparison(name, Verdict.CLOSE if close else Verdict.DIFFERS, recorded, again, f"by {apart:.2g}")
    return Comparison(name, Verdict.DIFFERS, recorded, again)


def _compare_images(name: str, recorded: bytes | None, again: bytes, recorded_hash: str, most: int) -> Comparison:
    new = decode(again)
    new_hash = pixel_hash(new)
    if recorded is None:  # it was dropped; its hash was not
        verdict = Verdict.SAME if new_hash == recorded_hash else Verdict.DIFFERS
        told = "" if verdict is Verdict.SAME else "the image was dropped, so that nobody knows by how much"
        return Comparison(name, verdict, recorded_hash, new_hash, told)
    try:
        old = decode(recorded)
    except DamagedImage as error:
        return Comparison(name, Verdict.DIFFERS, recorded_hash, new_hash, f"the stored image is damaged: {error}")
    if pixel_hash(old) != recorded_hash:
        return Comparison(name, Verdict.DIFFERS, recorded_hash, new_hash, "the stored image is not the recorded one")
    if new_hash == recorded_hash:
        return Comparison(name, Verdict.SAME, recorded_hash, new_hash)
    if old.shape != new.shape:
        sizes = " and ".join(f"{image.shape[1]} x {image.shape[0]}" for image in (old, new))
        return Comparison(name, Verdict.DIFFERS, recorded_hash, new_hash, f"the images are {sizes} pixels")
    apart = np.abs(old.astype(np.int16) - new.astype(np.int16))
    largest, share = int(apart.max()), float(np.mean(apart.any(axis=2)))
    verdict = Verdict.CLOSE if largest <= most else Verdict.DIFFERS
    return Comparison(
        name, verdict, recorded_hash, new_hash, f"{share:.2%} of the pixels, by at most {largest} of 255"
    )
