"""Same, same but for rounding, or different: for numbers, texts and images."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from imgdiff_assets.common.aliases import Pixels
from imgdiff_assets.ledger.cells import IMAGE
from imgdiff_assets.ledger.images import encode_png, pixel_hash
from imgdiff_assets.lineage.compare import Tolerance, Verdict, closest, compare, tolerance

FLOAT32 = tolerance(["float32", "float32"])
COLUMNS = (pa.field("picture_image", IMAGE), pa.field("picture_hash", pa.string()))


def pixels(seed: int = 0, height: int = 8, width: int = 8) -> Pixels:
    return np.random.default_rng(seed).integers(20, 200, (height, width, 3), dtype=np.uint8)


def row(image: Pixels, hash_of: Pixels | None = None, data: bytes | None = None) -> dict[str, Any]:
    encoded = encode_png(image, 6) if data is None else data
    return {
        "picture_image": {"bytes": encoded, "path": None},
        "picture_hash": pixel_hash(image if hash_of is None else hash_of),
    }


@pytest.mark.parametrize(
    ("kind", "recorded", "again", "verdict"),
    [
        (pa.float32(), 0.25, 0.25, Verdict.SAME),
        (pa.float32(), np.float32(0.1).item(), 0.1, Verdict.SAME),  # as it would be stored
        (pa.float32(), 0.25, 0.2501, Verdict.CLOSE),
        (pa.float32(), 0.25, 0.252, Verdict.DIFFERS),
        (pa.float32(), 1000.0, 1000.5, Verdict.CLOSE),
        (pa.float32(), None, 0.5, Verdict.DIFFERS),
        (pa.int32(), 3, 3, Verdict.SAME),
        (pa.int32(), 3, 4, Verdict.DIFFERS),
        (pa.string(), "a cat", "a cat", Verdict.SAME),
        (pa.string(), "a cat", "a cat.", Verdict.DIFFERS),
        (pa.list_(pa.string()), ["a"], ["a"], Verdict.SAME),
        (pa.list_(pa.string()), ["a"], ["b"], Verdict.DIFFERS),
    ],
)
def test_values(kind: pa.DataType, recorded: Any, again: Any, verdict: Verdict) -> None:
    (comparison,) = compare([pa.field("value", kind)], {"value": recorded}, {"value": again}, FLOAT32)
    assert comparison.verdict == verdict


def test_smaller_floats_are_given_more_room() -> None:
    assert tolerance(["float32", "bfloat16"]).numbers > FLOAT32.numbers
    assert tolerance(["float16"]).pixels > FLOAT32.pixels
    assert tolerance([]) == FLOAT32


def test_images_are_compared_by_their_pixels_whatever_their_encoding() -> None:
    image = pixels()
    (comparison,) = compare(COLUMNS, row(image, data=encode_png(image, 0)), row(image), FLOAT32)
    assert comparison.verdict == Verdict.SAME
    assert comparison.recorded == comparison.again == pixel_hash(image)


@pytest.mark.parametrize(("step", "verdict"), [(1, Verdict.CLOSE), (2, Verdict.CLOSE), (3, Verdict.DIFFERS)])
def test_rounding_of_pixels_is_told_from_difference(step: int, verdict: Verdict) -> None:
    image = pixels()
    other = image.copy()
    other[0, 0, 1] -= step
    other[7, 7] += step
    (comparison,) = compare(COLUMNS, row(image), row(other), FLOAT32)
    assert (comparison.verdict, comparison.difference) == (
        verdict,
        f"{2 / 64:.2%} of the pixels, by at most {step} of 255",
    )


@pytest.mark.parametrize(
    ("recorded", "difference"),
    [
        (row(pixels(), data=b"no image"), "the stored image is damaged"),
        (row(pixels(), data=encode_png(pixels(), 6)[:60]), "the stored image is damaged"),
        (row(pixels(1), hash_of=pixels()), "the stored image is not the recorded one"),
        (row(pixels(1, 8, 9)), "the images are 9 x 8 and 8 x 8 pixels"),
    ],
)
def test_a_stored_image_that_cannot_be_the_one_is_said_to_be_so(recorded: dict[str, Any], difference: str) -> None:
    (comparison,) = compare(COLUMNS, recorded, row(pixels()), Tolerance(255, 1.0))
    assert comparison.verdict == Verdict.DIFFERS
    assert comparison.difference.startswith(difference)


def test_of_several_rows_the_one_that_is_meant_is_found() -> None:
    columns = [pa.field("found_in", pa.string()), pa.field("x1", pa.float32())]
    candidates = [{"found_in": name, "x1": x1} for name in ("source", "target") for x1 in (0.0, 10.0)]
    assert closest(columns, {"found_in": "target", "x1": 9.5}, candidates) == {"found_in": "target", "x1": 10.0}
    assert closest(columns, {"found_in": None, "x1": None}, [{"found_in": None, "x1": None}]) is not None
