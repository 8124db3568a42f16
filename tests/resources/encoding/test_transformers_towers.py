"""Encoders in the format of transformers, small and with random weights, on the way that a user's takes."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from benchmarks.architectures import save
from benchmarks.vision_architectures import save_dual, small_clip, small_naflex
from resources.backends.choice import backend_of
from resources.image_encoder import ImageEncoderSettings
from resources.image_text_encoder import ImageTextEncoder, ImageTextEncoderSettings
from resources.loading import devices
from resources.loading.failures import WeightsMissing
from resources.loading.settings import ModelSettings

SIGLIP2 = "google/siglip2-base-patch16-224"
DINOV3 = "facebook/dinov3-vitb16-pretrain-lvd1689m"
FOUND = "by the test"


def load(settings: ModelSettings):
    return backend_of(settings).load(settings)


def dual(build: Callable[[], nn.Module]) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        torch.manual_seed(0)
        save_dual({"model": build()}, folder)
        return folder

    return write


FORMATS = {"siglip2": lambda folder: save(SIGLIP2, folder), "naflex": dual(small_naflex), "clip": dual(small_clip)}


@pytest.fixture(scope="module", params=FORMATS)
def folder(request, tmp_path_factory):
    return FORMATS[request.param](tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    shapes = [(32, 32), (40, 24), (16, 90), (64, 64)]
    return [rng.integers(0, 255, (*shape, 3), dtype=np.uint8) for shape in shapes]


def test_vectors_do_not_depend_on_their_neighbours(folder, images):
    texts = ["a red ball", "a blue boat on the sand and a cat", "a star"]
    settings = ImageTextEncoderSettings(model=str(folder), calibration=FOUND, device="cpu")
    encoder = load(settings)
    together = encoder.encode_images(images), encoder.encode_texts(texts)
    alone = load(settings.model_copy(update={"batch_size": 1}))
    for batch, single in zip(together, (alone.encode_images(images), alone.encode_texts(texts)), strict=True):
        assert batch.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(batch, axis=1), 1, rtol=1e-5)
        np.testing.assert_allclose(batch, single, atol=1e-5)
        assert (np.abs(batch[:1] - batch[1:]).max(axis=1) > 1e-3).all()


def test_a_siglip_s_pictures_and_texts_are_encoded_as_transformers_does(tmp_path, images):
    from transformers import AutoImageProcessor, AutoTokenizer, SiglipModel

    folder = save(SIGLIP2, tmp_path / "model")
    encoder = load(ImageTextEncoderSettings(model=str(folder), calibration=FOUND, device="cpu"))
    model = SiglipModel.from_pretrained(folder).eval()
    pixels = AutoImageProcessor.from_pretrained(folder)(images=Image.fromarray(images[0]), return_tensors="pt")
    ids = AutoTokenizer.from_pretrained(folder)("a red ball", padding="max_length", return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        told = model(input_ids=ids, **pixels)
    np.testing.assert_allclose(encoder.encode_images(images[:1]), told.image_embeds.numpy(), atol=1e-4)
    np.testing.assert_allclose(encoder.encode_texts(["a red ball"]), told.text_embeds.numpy(), atol=1e-4)


def test_a_dinov3_encodes_pictures(tmp_path, images):
    folder = save(DINOV3, tmp_path / "model")
    settings = ImageEncoderSettings(model=str(folder), calibration=FOUND, device="cpu")
    vectors = load(settings).encode_images([*images, images[1]])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(vectors[1], vectors[-1])
    alone = load(settings.model_copy(update={"batch_size": 1})).encode_images(images)
    np.testing.assert_allclose(vectors[:-1], alone, atol=1e-5)


def test_one_encoder_in_both_roles_is_loaded_once():
    both = [
        settings(model="miniature:image_text_encoder", device="cpu")
        for settings in (ImageTextEncoderSettings, ImageEncoderSettings)
    ]
    name = f"{ImageTextEncoder.__module__}.{ImageTextEncoder.__qualname__}"
    first = load(both[0])
    before = devices.uses()[name].loads
    assert load(both[1]) is first
    assert devices.uses()[name].loads == before
    assert both[0].identity() == both[1].identity()


@pytest.mark.parametrize(
    ("name", "settings"),
    [(SIGLIP2, ImageTextEncoderSettings), (SIGLIP2, ImageEncoderSettings), (DINOV3, ImageEncoderSettings)],
)
def test_an_encoder_without_known_thresholds_is_refused(name, settings, tmp_path):
    folder = save(name, tmp_path / "model")
    refused = settings(model=str(folder))
    assert "--calibrate" in backend_of(refused).presence(refused).missing
    with pytest.raises(WeightsMissing, match="no thresholds are known"):
        load(refused)
    stated = settings(model=str(folder), calibration=FOUND)
    assert backend_of(stated).presence(stated).missing is None
    assert stated.identity() == refused.identity()


def test_a_dinov3_is_no_image_text_encoder(tmp_path):
    folder = save(DINOV3, tmp_path / "model")
    with pytest.raises(WeightsMissing, match="wants an open_clip model"):
        load(ImageTextEncoderSettings(model=str(folder), calibration=FOUND))
