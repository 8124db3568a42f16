"""Each kind of image that people have: right, or refused by name. All are made here with Pillow."""

import io
import os
import signal
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from imgdiff_assets.common.aliases import Pixels
from imgdiff_assets.ingest import photograph as photographs
from imgdiff_assets.ingest.decoding import FORMATS, UnusableImage, decode
from imgdiff_assets.ingest.pair_folders import image_extensions
from imgdiff_assets.ingest.photograph import Photograph, PictureReader, align

SIDE = 20
reader = PictureReader()


@pytest.fixture(autouse=True, scope="module")
def one_reader() -> Iterator[None]:
    """The same process for all, for it takes as long to start as many pictures do to read."""
    with reader:
        yield


def read_image(data: bytes) -> Pixels:
    return reader.read(data).pixels


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


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "GIF", "JPEG2000"])
def test_lossless_formats_give_the_same_pixels(kind: str) -> None:
    np.testing.assert_array_equal(read_image(encoded(picture(), kind)), PLAIN)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF"])
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


@pytest.mark.parametrize("kind", FORMATS)
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
        decode(bomb)
    with pytest.raises(UnusableImage, match="10000 x 10000 pixels; at most"):
        decode(bytes(claim))
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
    with pytest.raises(UnusableImage, match="when padded"):
        align(np.zeros((16, 100_000, 3), np.uint8), np.zeros((100_000, 16, 3), np.uint8), "pad")


def test_names_of_files_end_as_their_formats_are_read() -> None:
    expected = {
        ".png",
        ".jpg",
        ".jpeg",
        ".jfif",
        ".webp",
        ".avif",
        ".jp2",
        ".j2k",
        ".tif",
        ".tiff",
        ".bmp",
        ".gif",
        ".ppm",
    }
    assert expected <= image_extensions()
    assert not {".svg", ".eps", ".pdf", ".heic", ".txt"} & image_extensions()


def broken_exif(orientation: int) -> bytes:
    """An orientation that is right, beside a rational that says to be unsigned and is negative."""
    entries = struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0) + struct.pack(">HHII", 0x011A, 10, 1, 38)
    return b"Exif\0\0MM\0*" + struct.pack(">IH", 8, 2) + entries + struct.pack(">I", 0) + struct.pack(">ii", -72, 1)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_good_picture_with_broken_exif_is_kept(kind: str) -> None:
    upright = picture(30, 20)
    stored = upright.transpose(Image.Transpose.ROTATE_90)
    for exif in (broken_exif(6), broken_exif(6)[:-9], b"Exif\0\0MM\0*\xff\xff\xff\xff", b"Exif\0\0junk"):
        seen = read_image(encoded(stored, kind, exif=exif))
        assert seen.shape in ((20, 30, 3), (30, 20, 3))
    assert np.abs(read_image(encoded(stored, kind, exif=broken_exif(6))).astype(int) - np.asarray(upright)).mean() < 20


def test_exif_that_its_decoder_does_not_take_costs_no_picture() -> None:
    exif = Image.Exif()
    exif[0x010F] = "maker"
    data = encoded(picture(), "AVIF", exif=exif.tobytes())
    broken = data.replace(b"MM\0*", b"XX\0*")
    assert broken != data
    np.testing.assert_array_equal(read_image(broken), read_image(data))


def test_a_broken_picture_is_told_whatever_its_decoder_raises() -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("comment", "x" * 70_000_000, zip=True)
    huge_text = encoded(picture(), pnginfo=text)
    short_header = (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 4)
        + b"IHDR"
        + b"\0" * 4
        + struct.pack(">I", zlib.crc32(b"IHDR\0\0\0\0"))
    )
    palette = encoded(picture().convert("P"))
    start = palette.index(b"PLTE") - 4
    no_palette = palette[:start] + palette[start + 12 + int.from_bytes(palette[start : start + 4], "big") :]
    for data in (huge_text, short_header, no_palette):
        with pytest.raises(UnusableImage, match="is truncated or damaged"):
            read_image(data)


def wide_gamut() -> bytes:
    """A profile with the colours of sRGB turned round: red is green. Made from sRGB's by exchanging two tags."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, green = profile.index(b"rXYZ"), profile.index(b"gXYZ")
    profile[red : red + 4], profile[green : green + 4] = b"gXYZ", b"rXYZ"
    return bytes(profile)


SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF"])
def test_colours_are_brought_to_srgb_and_it_is_said(kind: str) -> None:
    plain = reader.read(encoded(picture(), kind))
    assert (plain.colours, plain.former) == (None, None)
    seen = reader.read(encoded(picture(), kind, icc_profile=wide_gamut()))
    assert seen.colours is not None
    assert "converted to sRGB" in seen.colours
    assert seen.former is not None
    np.testing.assert_array_equal(seen.former, plain.pixels)
    assert seen.pixels[-1, -1].argmax() == 1, "what is called red there is green"
    assert seen.pixels[0, 0].argmax() == 2


def test_a_picture_that_is_srgb_stays_as_it_is() -> None:
    seen = reader.read(encoded(picture(), icc_profile=SRGB))
    np.testing.assert_array_equal(seen.pixels, PLAIN)
    assert (seen.colours, seen.former) == (None, None)


def test_transparency_is_laid_on_white_beside_a_profile() -> None:
    layer = picture().convert("RGBA")
    layer.putalpha(Image.fromarray(np.where(np.arange(SIDE) < 10, 255, 0)[None].repeat(SIDE, 0).astype(np.uint8)))
    seen = read_image(encoded(layer, icc_profile=wide_gamut()))
    assert (seen[:, 10:] == 255).all()
    assert seen[-1, 0].argmax() == 1


@pytest.mark.parametrize("profile", [b"junk", SRGB[:200], SRGB.replace(b"RGB XYZ", b"CMYKXYZ"), b"x" * 5_000_000])
def test_a_profile_that_cannot_be_used_costs_no_picture(profile: bytes) -> None:
    seen = reader.read(encoded(picture(), "TIFF", icc_profile=profile))
    np.testing.assert_array_equal(seen.pixels, PLAIN)
    assert seen.colours is not None
    assert "taken as sRGB" in seen.colours


def test_a_picture_of_too_many_bytes_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photographs, "MOST_BYTES", 1_000)
    with pytest.raises(UnusableImage, match=r"has 1\.2 kB; at most 1\.0 kB are read"):
        reader.read(b"x" * 1_200)


def test_a_picture_that_takes_too_long_costs_itself_alone() -> None:
    with PictureReader(most_seconds=0) as hurried:
        for _ in range(2):
            with pytest.raises(UnusableImage, match="takes more than 0 seconds to decode"):
                hurried.read(encoded(picture()))
        hurried._most_seconds = 60
        np.testing.assert_array_equal(hurried.read(encoded(picture())).pixels, PLAIN)


def test_a_bad_picture_costs_no_new_process() -> None:
    with PictureReader() as own:
        own.read(encoded(picture()))
        process = own._process
        with pytest.raises(UnusableImage):
            own.read(b"junk")
        assert own._process is process


def test_a_picture_that_kills_its_decoder_costs_itself_alone() -> None:
    answers: list[Photograph | UnusableImage] = []

    def read(data: bytes) -> None:
        try:
            answers.append(own.read(data))
        except UnusableImage as error:
            answers.append(error)

    with PictureReader() as own:
        read(encoded(picture()))
        assert own._process is not None
        large = encoded(Image.effect_noise((3_000, 3_000), 90))
        thread = threading.Thread(target=read, args=(large,))
        thread.start()
        time.sleep(0.05)
        os.kill(own._process.pid, signal.SIGKILL)
        thread.join()
        read(encoded(picture()))
    first, killed, after = answers
    assert isinstance(first, Photograph)
    assert str(killed) == "is damaged: its decoder died of it (exit status -9)"
    assert isinstance(after, Photograph)


def test_the_decoder_knows_no_secret_and_not_the_current_folder(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "PIL.py").write_text("raise SystemExit('this was executed')", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IMGDIFF_API_KEY", "secret")
    with PictureReader() as own:
        np.testing.assert_array_equal(own.read(encoded(picture())).pixels, PLAIN)
        assert own._process is not None
        with open(f"/proc/{own._process.pid}/environ", "rb") as environment:
            assert b"secret" not in environment.read()


def test_a_long_text_in_a_picture_costs_it_nothing() -> None:
    notes = PngImagePlugin.PngInfo()
    notes.add_text("workflow", "x" * 3_000_000, zip=True)
    np.testing.assert_array_equal(read_image(encoded(picture(), pnginfo=notes)), PLAIN)
