"""Which images are near-duplicates: a changed encoding is, another picture is not."""

import io
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from imgdiff_assets.method.near_duplicates import (
    HASH_BITS,
    SIGNATURE_COLUMNS,
    nearest,
    perceptual_hash,
    signatures,
    unpacked,
)
from resources.miniature.scenes import draw_scene, random_content


def picture(seed: int) -> np.ndarray:
    chance = random.Random(seed)
    return draw_scene(chance, *random_content(chance)).image


def differing(one: str, two: str) -> int:
    return (int(one, 16) ^ int(two, 16)).bit_count()


def jpeg(pixels: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


@pytest.mark.parametrize("seed", range(8))
def test_another_size_and_encoding_is_nearly_the_same_hash(seed: int) -> None:
    image = picture(seed)
    larger = np.asarray(Image.fromarray(image).resize((200, 200), Image.Resampling.BICUBIC))
    brighter = np.clip(image.astype(np.int16) + 12, 0, 255).astype(np.uint8)
    for changed in (jpeg(image, 60), larger, brighter):
        assert differing(perceptual_hash(image), perceptual_hash(changed)) < 6


def test_other_pictures_have_other_hashes() -> None:
    hashes = [perceptual_hash(picture(seed)) for seed in range(30)]
    apart = [differing(one, two) for index, one in enumerate(hashes) for two in hashes[:index]]
    assert np.median(apart) > 15


def test_a_hash_of_one_colour_is_steady() -> None:
    assert perceptual_hash(np.full((40, 60, 3), 90, np.uint8)) == perceptual_hash(np.full((64, 64, 3), 91, np.uint8))


@given(data=st.data())
def test_nearest_is_the_least_over_all_images(data: st.DataObject) -> None:
    def draw(count: int) -> list[list[str]]:
        chance = np.random.default_rng(data.draw(st.integers(0, 10_000)))
        vectors = chance.normal(size=(2 * count, 5))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        images = list(chance.integers(0, 256, (2 * count, 8, 8, 3), np.uint8))
        rows = signatures(images, vectors.astype(np.float32))
        return [[row[name] for name in SIGNATURE_COLUMNS] for row in rows]

    pairs, others = draw(data.draw(st.integers(0, 4))), draw(data.draw(st.integers(0, 4)))
    bits, cosines = nearest(unpacked(pairs), unpacked(others))
    assert len(bits) == len(cosines) == len(pairs)
    for pair, bit, cosine in zip(pairs, bits, cosines, strict=True):
        apart = [differing(one, two) for one in pair[:2] for row in others for two in row[:2]]
        assert bit == min(apart, default=HASH_BITS)
        alike = [unpacked([pair]).vectors @ unpacked([row]).vectors.T for row in others]
        assert cosine == pytest.approx(min(1, max((values.max() for values in alike), default=-1)), abs=1e-6)
    if pairs:
        bits, cosines = nearest(unpacked(pairs), unpacked(pairs))
        assert (bits == 0).all()
        assert cosines == pytest.approx(1, abs=2e-3)
