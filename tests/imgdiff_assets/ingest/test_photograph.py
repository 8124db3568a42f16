"""Each kind of image that people have: right, or refused by name. All are made here with Pillow."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from imgdiff_assets.ingest import photograph as photographs
from imgdiff_assets.ingest.photograph import UnusableImage, align, read_image

SIDE = 20


def picture(width: int = SIDE, height: int = SIDE) -> Image.Image:
    """Red, but for a blue top left corner: which way up it is can be seen."""
    pixels = np.full((height, width, 3), (250, 0, 0), np.uint8)
    pixels[: height // 2, : width // 2] = (0, 0, 250)
    return Image.fromarray(pixels)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


PLAIN = np.asarray(picture())


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "GIF"])
def test_lossless_formats_give_the_same_pixels(kind: str) -> None:
    np.testing.assert_array_equal(read_image(encoded(picture(), kind)), PLAIN)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_lossy_formats_give_nearly_the_same(kind: str) -> None:
    assert np.abs(read_image(encoded(picture(), kind, quality=95)).astype(int) - PLAIN).mean() < 12


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_is_turned_as_its_exif_says(orientation: int) -> None:
    upright = picture(30, 20)
    # How the camera stored it: the inverse of what a viewer does.
    inverse = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(inverse[orientation]) if orientation in inverse else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    np.testing.assert_array_equal(read_image(encoded(stored, "PNG", exif=exif)), np.asarray(upright))


def test_transparency_is_laid_on_white() -> None:
    layer = picture().convert("RGBA")
    layer.putalpha(Image.fromarray(np.where(np.arange(SIDE) < 10, 255, 0)[None].repeat(SIDE, 0).astype(np.uint8)))
    seen = read_image(encoded(layer))
    np.testing.assert_array_equal(seen[:, :10], PLAIN[:, :10])
    assert (seen[:, 10:] == 255).all()
    grey = read_image(encoded(layer.convert("LA")))
    assert (grey[:, 10:] == 255).all()
    assert (grey[:, :10] < 255).all()


def test_grey_and_black_and_white() -> None:
    grey = picture().convert("L")
    expected = np.asarray(grey)[..., None].repeat(3, 2)
    np.testing.assert_array_equal(read_image(encoded(grey)), expected)
    assert set(np.unique(read_image(encoded(grey.convert("1"))))) <= {0, 255}


def test_palettes_with_and_without_transparency() -> None:
    palette = picture().convert("P", palette=Image.Palette.ADAPTIVE, colors=4)
    np.testing.assert_array_equal(read_image(encoded(palette)), np.asarray(palette.convert("RGB")))
    see_through = palette.copy()
    see_through.info["transparency"] = int(np.asarray(palette)[0, 0])
    seen = read_image(encoded(see_through))
    assert (seen[:5, :5] == 255).all()
    assert (seen[-5:, -5:] == np.asarray(palette.convert("RGB"))[-5:, -5:]).all()


def test_cmyk() -> None:
    cmyk = picture().convert("CMYK")
    np.testing.assert_array_equal(read_image(encoded(cmyk, "TIFF")), np.asarray(cmyk.convert("RGB")))
    assert np.abs(read_image(encoded(cmyk, "JPEG", quality=95)).astype(int) - PLAIN).mean() < 12


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_grey_keeps_its_tones(kind: str) -> None:
    ramp = np.linspace(0, 65535, SIDE).astype(np.uint16)[None].repeat(SIDE, 0)
    seen = read_image(encoded(Image.fromarray(ramp), kind))
    np.testing.assert_array_equal(seen[0, :, 0], np.round(ramp[0] / 257))
    assert (seen[..., 0] == seen[..., 2]).all()


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (Image.fromarray(np.full((SIDE, SIDE), 0.5, np.float32)), "floating-point values"),
        (Image.fromarray(np.full((SIDE, SIDE), 1 << 20, np.int32)), "beyond 16 bits"),
        (picture(1, 1), "has 1 x 1 pixels; each side must have at least 16"),
        (picture(400, 3), "has 400 x 3 pixels"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(image: Image.Image, words: str) -> None:
    with pytest.raises(UnusableImage, match=words):
        read_image(encoded(image, "TIFF"))


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_animations_and_pages_are_refused(kind: str) -> None:
    with pytest.raises(UnusableImage, match="2 frames"):
        read_image(encoded(picture(), kind, save_all=True, append_images=[picture().rotate(90)]))


def test_the_preview_in_a_photograph_is_no_second_page() -> None:
    photograph = encoded(picture(), "MPO", save_all=True, append_images=[picture()], quality=95)
    assert np.abs(read_image(photograph).astype(int) - PLAIN).mean() < 12


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP", "WEBP", "GIF"])
def test_truncated_files_are_refused(kind: str) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    whole = encoded(noise, kind)
    for share in (0.02, 0.5, 0.9):
        with pytest.raises(UnusableImage, match=r"truncated or damaged|not an image"):
            read_image(whole[: int(len(whole) * share)])


@pytest.mark.parametrize("data", [b"", b"hello", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"%PDF-1.4"])
def test_what_is_no_image_is_refused(data: bytes) -> None:
    with pytest.raises(UnusableImage, match="not an image of a known format"):
        read_image(data)


def test_a_decompression_bomb_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb, claim = encoded(Image.new("1", (20_000, 20_000))), bytearray(encoded(picture(), "BMP"))
    # A header of a hundred million pixels, of which Pillow alone would only warn.
    claim[18:26] = (10_000).to_bytes(4, "little") * 2
    assert len(bomb) < 100_000
    decoded = []
    monkeypatch.setattr(Image.Image, "load", lambda self: decoded.append(self.size))
    with pytest.raises(UnusableImage, match="decompression bomb"):
        read_image(bomb)
    with pytest.raises(UnusableImage, match="10000 x 10000 pixels; at most"):
        read_image(bytes(claim))
    assert not decoded


def test_images_of_one_size_stay_as_they_are() -> None:
    for fit in photographs.FITS:
        source, target = align(PLAIN, PLAIN, fit)
        assert source is PLAIN
        assert target is PLAIN


def test_other_sizes_are_refused_resized_or_padded() -> None:
    small, large = PLAIN, np.asarray(picture(30, 40))
    with pytest.raises(UnusableImage, match="sizes differ: 20 x 20 and 30 x 40 pixels"):
        align(small, large, "refuse")
    source, target = align(small, large, "resize")
    assert source is small
    assert target.shape == small.shape
    assert np.abs(target.astype(int) - small).mean() < 8
    source, target = align(small, large, "pad")
    assert source.shape == target.shape == (40, 30, 3)
    np.testing.assert_array_equal(source[:20, :20], small)
    assert not source[20:].any()
    assert not source[:, 20:].any()
