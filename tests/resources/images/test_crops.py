import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from resources.images.crops import cut, distinct, squash, upload

IMAGE = np.arange(40 * 60 * 3, dtype=np.uint64).astype(np.uint8).reshape(40, 60, 3)
HALVES = {"mean": [0.5] * 3, "std": [0.5] * 3}


def test_a_cut_is_the_box_grown_by_the_padding_and_clipped_to_the_image():
    np.testing.assert_array_equal(cut(IMAGE, (10, 5, 30, 20)), IMAGE[5:20, 10:30])
    np.testing.assert_array_equal(cut(IMAGE, (10, 5, 30, 20), padding=3), IMAGE[2:23, 7:33])
    np.testing.assert_array_equal(cut(IMAGE, (-4, 30, 70, 90), padding=5), IMAGE[25:])


def test_a_cut_holds_every_pixel_that_the_box_touches_and_copies_none():
    crop = cut(IMAGE, (10.9, 5.5, 11.1, 6.0))
    np.testing.assert_array_equal(crop, IMAGE[5:6, 10:12])
    assert np.shares_memory(crop, IMAGE)


@pytest.mark.parametrize("box", [(60, 0, 80, 10), (5, 5, 5, 9), (20, 10, 10, 20), (0, -9, 10, -1)])
def test_a_box_that_holds_nothing_is_an_error(box):
    with pytest.raises(ValueError, match="holds nothing of an image of 60×40 pixels"):
        cut(IMAGE, box)


@given(st.tuples(*[st.floats(-30, 90)] * 4), st.integers(0, 8))
def test_a_cut_is_never_empty(box, padding):
    left, top, right, bottom = box
    box = (min(left, right), min(top, bottom), max(left, right), max(top, bottom))
    try:
        crop = cut(IMAGE, box, padding)
    except ValueError:
        assert (
            box[2] + padding <= 0
            or box[3] + padding <= 0
            or box[0] - padding >= 60
            or box[1] - padding >= 40
            or (padding == 0 and (box[0] == box[2] or box[1] == box[3]))
        )
    else:
        assert crop.size > 0


@pytest.mark.parametrize("kind", ["own", "read-only", "one of a stack", "mirrored", "every other column"])
def test_regions_are_cut_on_the_device(kind):
    image = IMAGE.copy()
    if kind == "read-only":
        image.setflags(write=False)
    elif kind != "own":
        image = {"one of a stack": np.stack([image, image])[1], "mirrored": image[:, ::-1]}.get(kind, image[:, ::2])
    regions = [cut(image, box) for box in ((3, 2, 9, 30), (0, 0, 30, 40), (20, 10, 28, 17))]
    for region, tensor in zip(regions, upload(regions, "cpu"), strict=True):
        assert tensor.dtype == torch.uint8
        np.testing.assert_array_equal(tensor.numpy(), region)


def test_an_image_goes_to_the_device_once_for_all_its_regions():
    one, other = IMAGE.copy(), IMAGE.copy()
    tensors = upload([cut(one, (3, 2, 9, 30)), one, cut(other, (3, 2, 9, 30)), cut(one, (20, 10, 28, 17))], "cpu")
    memories = [tensor.untyped_storage().data_ptr() for tensor in tensors]
    assert memories[0] == memories[1] == memories[3] != memories[2]


def test_a_region_cut_out_twice_is_one_image():
    other = IMAGE.copy()
    regions = [cut(image, (3, 2, right, 30)) for image, right in ((IMAGE, 9), (other, 9), (IMAGE, 8), (IMAGE, 9))]
    different, places = distinct([*regions, IMAGE[:, ::-1], IMAGE])
    assert len(different) == 5
    assert places == [0, 1, 2, 0, 3, 4]
    assert all(np.shares_memory(one, two) for one, two in zip(different[:3], regions, strict=False))


def test_pixels_are_scaled_and_normalised_per_channel():
    white = np.full((8, 8, 3), 255, np.uint8)
    pixels = squash([white], (8, 8), mean=[0.0, 0.5, 1.0], std=[1.0, 0.5, 0.25])
    assert pixels.shape == (1, 3, 8, 8)
    assert pixels.dtype == torch.float32
    torch.testing.assert_close(pixels[0, :, 0, 0], torch.tensor([1.0, 1.0, 0.0]))


def test_a_long_thin_region_is_seen_from_end_to_end():
    strip = np.zeros((10, 300, 3), np.uint8)
    strip[:, :30] = 255
    strip[:, -30:] = 255
    pixels = squash([strip], (20, 20), **HALVES)[0, 0]
    assert (pixels[:, 0] > 0.9).all()
    assert (pixels[:, -1] > 0.9).all()
    assert (pixels[:, 8:12] < -0.9).all()


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_images_keep_their_rows_whatever_their_shapes(interpolation):
    rng = np.random.default_rng(0)
    shapes = [(30, 20), (16, 16), (30, 20), (3, 50), (16, 16)]
    images = [rng.integers(0, 256, (*shape, 3), np.uint8) for shape in shapes]
    together = squash(images, (16, 16), **HALVES, interpolation=interpolation)
    for image, row in zip(images, together, strict=True):
        alone = squash([image], (16, 16), **HALVES, interpolation=interpolation)[0]
        torch.testing.assert_close(row, alone)
    np.testing.assert_array_equal(((together[1] + 1) * 127.5).round().permute(1, 2, 0).numpy(), images[1])


def test_no_images_are_no_rows():
    assert squash([], (16, 16), **HALVES).shape == (0, 3, 16, 16)
