import random
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from resources.image_text_encoder import ImageTextEncoder, ImageTextEncoderSettings
from resources.images.crops import cut
from resources.loading import weights
from resources.miniature.scenes import draw_scene


@pytest.fixture(scope="module")
def encoder():
    return ImageTextEncoder(ImageTextEncoderSettings(model="miniature:image_text_encoder"))


@pytest.fixture(scope="module")
def scenes():
    return [draw_scene(random.Random(seed)) for seed in range(12)]


@pytest.fixture(scope="module")
def images(scenes):
    stretched = [np.array(Image.fromarray(scenes[0].image).resize(size)) for size in ((30, 90), (100, 80))]
    return [scene.image for scene in scenes[:5]] + stretched


def test_a_scene_is_nearest_to_its_own_caption(encoder, scenes):
    images = encoder.encode_images([scene.image for scene in scenes])
    texts = encoder.encode_texts([scene.caption for scene in scenes])
    similarities = images @ texts.T
    assert (similarities.argmax(axis=1) == np.arange(len(scenes))).mean() >= 0.9
    assert (similarities.argmax(axis=0) == np.arange(len(scenes))).mean() >= 0.9


def test_a_region_is_nearer_to_its_own_phrase_than_to_another_object(encoder, scenes):
    right = total = 0
    for scene in scenes:
        for thing, (x1, y1, x2, y2) in zip(scene.objects, scene.boxes, strict=True):
            crop = encoder.encode_images([scene.image[y1:y2, x1:x2]])[0]
            other = "ball" if thing.name != "ball" else "boat"
            own, others = encoder.encode_texts([thing.phrase, thing.phrase.replace(thing.name, other)]) @ crop
            right += own > others
            total += 1
    assert right >= 0.9 * total


def test_vectors_are_float32_of_length_one(encoder, images):
    for vectors in (encoder.encode_images(images), encoder.encode_texts(["a red ball", "a blue boat on the sand"])):
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)


def test_images_of_the_model_s_size_are_encoded_as_open_clip_does(encoder, images):
    import open_clip

    name = f"local-dir:{weights.locate('miniature:image_text_encoder')}"
    model, _, transform = open_clip.create_model_and_transforms(name)
    assert images[0].shape == (64, 64, 3)
    with torch.inference_mode():
        image = model.eval().encode_image(transform(Image.fromarray(images[0]))[None], normalize=True)
        text = model.encode_text(open_clip.get_tokenizer(name)(["a red ball"]), normalize=True)
    np.testing.assert_allclose(encoder.encode_images(images[:1]), image.numpy(), atol=1e-4)
    np.testing.assert_allclose(encoder.encode_texts(["a red ball"]), text.numpy(), atol=1e-4)


def test_the_ends_of_a_long_thin_image_count(encoder):
    plain = np.full((16, 200, 3), 90, np.uint8)
    marked = plain.copy()
    marked[:, :50] = (230, 30, 30)
    one, other = encoder.encode_images([plain, marked])
    assert one @ other < 0.99


def test_vectors_do_not_depend_on_the_batch(encoder, images):
    texts = ["a red ball", "a blue boat and a green tree on the sand", "zebra", "a red ball"]
    alone = ImageTextEncoder(ImageTextEncoderSettings(model="miniature:image_text_encoder", batch_size=1))
    np.testing.assert_allclose(encoder.encode_images(images), alone.encode_images(images), atol=1e-5)
    np.testing.assert_allclose(encoder.encode_images(images)[::-1], encoder.encode_images(images[::-1]), atol=1e-5)
    np.testing.assert_allclose(encoder.encode_texts(texts), alone.encode_texts(texts), atol=1e-5)


def test_each_region_and_text_is_encoded_once(encoder, scenes, monkeypatch):
    seen = {"images": 0, "texts": 0}
    encode_image, encode_text = encoder.towers.model.encode_image, encoder.towers.model.encode_text

    def count_images(pixels):
        seen["images"] += len(pixels)
        return encode_image(pixels)

    def count_texts(tokens):
        seen["texts"] += len(tokens)
        return encode_text(tokens)

    monkeypatch.setattr(encoder.towers.model, "encode_image", count_images)
    monkeypatch.setattr(encoder.towers.model, "encode_text", count_texts)
    regions = [cut(scene.image, scene.boxes[0]) for scene in scenes[:5] for _ in range(2)]
    vectors = encoder.encode_images(regions)
    np.testing.assert_array_equal(vectors[0::2], vectors[1::2])
    vectors = encoder.encode_texts(["ball", "boat", "ball"])
    np.testing.assert_array_equal(vectors[0], vectors[2])
    assert seen == {"images": 5, "texts": 2}


def test_half_precision_changes_little(encoder, images):
    half = ImageTextEncoder(ImageTextEncoderSettings(model="miniature:image_text_encoder", dtype="bfloat16"))
    assert (encoder.encode_images(images) * half.encode_images(images)).sum(axis=1).min() > 0.99
    texts = ["a red ball", "a blue boat"]
    assert (encoder.encode_texts(texts) * half.encode_texts(texts)).sum(axis=1).min() > 0.99


def test_nothing_is_encoded_to_no_rows(encoder):
    dimension = encoder.encode_texts(["a red ball"]).shape[1]
    assert encoder.encode_images([]).shape == encoder.encode_texts([]).shape == (0, dimension)


def test_a_folder_in_another_format_is_an_error(tmp_path):
    shutil.copy(weights.locate("miniature:image_text_encoder") / "open_clip_model.safetensors", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"has no open_clip_config\.json"):
        ImageTextEncoder(ImageTextEncoderSettings(model=str(tmp_path)))
