"""Images in and out of the ledger: lossless, the same bytes every time, a few at a time."""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from imgdiff_assets.common.aliases import Pixels
from imgdiff_assets.ledger.cells import CellReference
from imgdiff_assets.ledger.images import DamagedImage, PairImages, decode, encode_png, pixel_hash
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.stages.image_pairs import STAGE

SHARD = "shard-000000"


def _noise(number: int, height: int = 5, width: int = 7) -> Pixels:
    return np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)


@given(height=st.integers(1, 9), width=st.integers(1, 9), compression=st.integers(0, 9), number=st.integers(0, 99))
@settings(max_examples=30)
def test_png_keeps_every_pixel_whatever_the_effort(height: int, width: int, compression: int, number: int) -> None:
    pixels = _noise(number, height, width)
    data = encode_png(pixels, compression)
    assert data == encode_png(pixels.copy(), compression)
    np.testing.assert_array_equal(decode(data), pixels)
    assert decode(data).dtype == np.uint8


def test_effort_changes_the_size_not_the_hash() -> None:
    pixels = np.tile(_noise(1, 8, 8), (8, 8, 1))
    small, large = encode_png(pixels, 9), encode_png(pixels, 0)
    assert len(small) < len(large)
    assert pixel_hash(decode(small)) == pixel_hash(decode(large)) == pixel_hash(pixels)


@pytest.mark.parametrize(("mode", "format_name"), [("L", "PNG"), ("RGBA", "PNG"), ("P", "PNG"), ("CMYK", "JPEG")])
def test_other_kinds_of_images_are_read_as_rgb(mode: str, format_name: str) -> None:
    buffer = io.BytesIO()
    Image.new(mode, (4, 3)).save(buffer, format=format_name)
    assert decode(buffer.getvalue()).shape == (3, 4, 3)


def _without_palette() -> bytes:
    """Of which Pillow raises AssertionError."""
    buffer = io.BytesIO()
    Image.new("P", (4, 3)).save(buffer, format="PNG", transparency=0)
    data = buffer.getvalue()
    start = data.index(b"PLTE") - 4
    return data[:start] + data[start + 12 + int.from_bytes(data[start : start + 4], "big") :]


@pytest.mark.parametrize("data", [b"", b"no image", encode_png(_noise(1), 6)[:-30], _without_palette()])
def test_damaged_images_are_refused(data: bytes) -> None:
    with pytest.raises(DamagedImage, match="the image is damaged: "):
        decode(data)


def test_the_hash_is_of_shape_and_pixels_alone() -> None:
    pixels = _noise(1, 4, 6)
    assert pixel_hash(pixels) == pixel_hash(np.asfortranarray(pixels))
    assert pixel_hash(pixels[:, ::2]) == pixel_hash(pixels[:, ::2].copy())
    assert pixel_hash(pixels) != pixel_hash(pixels.reshape(6, 4, 3))
    changed = pixels.copy()
    changed[0, 0, 0] ^= 1
    assert pixel_hash(changed) != pixel_hash(pixels)
    assert pixel_hash(np.zeros((1, 1, 3), np.uint8)) == (
        "5b5b6c1f598f8ec11dffd0f84f2958006f6716c6b709b755b214f12ca9b176d9"
    )


def _pairs(root: Path, count: int) -> Ledger:
    """A table of image pairs, the first of which could not be drawn."""
    ledger = Ledger(root)
    names = ("source_image", "target_image")
    rows, references = [], []
    for number in range(count):
        cells = {name: {"bytes": encode_png(_noise(2 * number + k), 6), "path": name} for k, name in enumerate(names)}
        path = ledger.stage_batch("image_pairs", SHARD, "generate", [{"pair_id": str(number), **cells}], STAGE.schema)
        rows.append({"pair_id": str(number)})
        references.append(CellReference(path, 0) if number else None)
    ledger.commit("image_pairs", SHARD, STAGE.schema, pa.Table.from_pylist(rows), references, {})
    return ledger


def test_pairs_are_found_by_id_in_any_order(tmp_path: Path) -> None:
    images = PairImages(_pairs(tmp_path, 40), SHARD)
    for number in (39, 1, 20, 1, 39, 15, 16, 17):
        source, target = images(str(number))
        np.testing.assert_array_equal(source, _noise(2 * number))
        np.testing.assert_array_equal(target, _noise(2 * number + 1))
        assert decode(images.encoded(str(number))["source_image"]["bytes"]).tobytes() == source.tobytes()
    with pytest.raises(KeyError):
        images("no such pair")
    images.close()


def test_a_pair_that_was_not_drawn_has_no_images(tmp_path: Path) -> None:
    images = PairImages(_pairs(tmp_path, 2), SHARD)
    assert images.encoded("0") == {"source_image": None, "target_image": None}
    images.close()


@pytest.mark.parametrize("limit", ["KEPT_ROWS", "KEPT_BYTES"])
def test_only_the_latest_pairs_stay_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    images = PairImages(_pairs(tmp_path, 8), SHARD)
    first = images("1")
    monkeypatch.setattr(PairImages, limit, 3 * (1 if limit == "KEPT_ROWS" else 2 * first[0].nbytes))
    assert images("1")[0] is first[0]
    for number in range(2, 8):
        images(str(number))
        assert len(images._decoded) <= 3
    assert images("1")[0] is not first[0]
    np.testing.assert_array_equal(images("1")[0], first[0])
    images.close()
