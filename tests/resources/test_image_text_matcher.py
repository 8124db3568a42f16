import random

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import BlipForImageTextRetrieval, BlipProcessor

from resources import image_text_matcher
from resources.image_text_matcher import ImageTextMatcher, ImageTextMatcherSettings
from resources.images.crops import cut
from resources.loading import weights
from resources.miniature.scenes import OBJECTS, draw_scene

TEXTS = ["ball", "ice cream", "boat", "a red ball on the grass and more than that", "ball", "tree", "zebra"]


@pytest.fixture(scope="module")
def matcher():
    return ImageTextMatcher(ImageTextMatcherSettings(model="miniature:image_text_matcher"))


@pytest.fixture(scope="module")
def scenes():
    return [draw_scene(random.Random(seed)) for seed in range(15)]


@pytest.fixture(scope="module")
def crops(scenes):
    """Crops of one shape and another, as many as there are texts."""
    return [cut(scene.image, scene.boxes[0], padding=2) for scene in scenes[: len(TEXTS)]]


def test_both_scores_prefer_the_right_name(matcher, scenes):
    rng = random.Random(0)
    things = [(cut(scene.image, scene.boxes[0], padding=2), scene.objects[0].name) for scene in scenes]
    crops = [crop for crop, _ in things]
    right = matcher.match(crops, [name for _, name in things])
    wrong = matcher.match(crops, [rng.choice([other for other in OBJECTS if other != name]) for _, name in things])
    for right_scores, wrong_scores in zip(right, wrong, strict=True):
        assert (right_scores > wrong_scores).mean() >= 0.9


def test_both_scores_are_those_of_the_library(matcher, crops):
    folder = weights.locate("miniature:image_text_matcher")
    model = BlipForImageTextRetrieval.from_pretrained(folder, dtype=torch.float32).eval()
    processor = BlipProcessor.from_pretrained(folder)
    size = processor.image_processor.size
    images = [np.array(Image.fromarray(crop).resize((size["width"], size["height"]))) for crop in crops]
    itc, itm = matcher.match(images, TEXTS)
    assert itc.dtype == itm.dtype == np.float32
    for row, (image, text) in enumerate(zip(images, TEXTS, strict=True)):
        inputs = processor(images=Image.fromarray(image), text=text, return_tensors="pt")
        with torch.inference_mode():
            cosine = model(**inputs, use_itm_head=False).itm_score
            probability = model(**inputs).itm_score.softmax(-1)[:, 1]
        assert itc[row] == pytest.approx(cosine.item(), abs=1e-4)
        assert itm[row] == pytest.approx(probability.item(), abs=1e-4)


def test_a_cpu_encodes_as_many_images_at_once_as_its_cache_holds(matcher, crops, monkeypatch):
    together, seen = matcher.match(crops, TEXTS), []
    vision = matcher._model.config.vision_config
    patches = (vision.image_size // vision.patch_size) ** 2
    monkeypatch.setattr(image_text_matcher, "CACHED_NUMBERS", 3 * patches * vision.intermediate_size)
    hook = matcher._model.vision_model.register_forward_pre_hook(lambda module, inputs: seen.append(len(inputs[0])))
    apart = matcher.match(crops, TEXTS)
    hook.remove()
    assert seen == [3, 3, 1]
    for one, other in zip(together, apart, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_scores_do_not_depend_on_the_batch(matcher, crops):
    together = matcher.match(crops, TEXTS)
    backwards = matcher.match(crops[::-1], TEXTS[::-1])
    alone = ImageTextMatcher(ImageTextMatcherSettings(model="miniature:image_text_matcher", batch_size=1))
    for scores, reversed_scores, single in zip(together, backwards, alone.match(crops, TEXTS), strict=True):
        np.testing.assert_allclose(scores, reversed_scores[::-1], atol=1e-5)
        np.testing.assert_allclose(scores, single, atol=1e-5)


def test_each_image_and_text_is_embedded_once_and_each_pair_matched_once(matcher, scenes, monkeypatch):
    seen = {"images": 0, "texts": 0, "pairs": 0}
    encode_images, encode_texts = matcher._model.vision_model.forward, matcher._model.text_encoder.forward

    def count_images(pixel_values, **options):
        seen["images"] += len(pixel_values)
        return encode_images(pixel_values, **options)

    def count_texts(input_ids, **options):
        seen["pairs" if "encoder_hidden_states" in options else "texts"] += len(input_ids)
        return encode_texts(input_ids, **options)

    monkeypatch.setattr(matcher._model.vision_model, "forward", count_images)
    monkeypatch.setattr(matcher._model.text_encoder, "forward", count_texts)
    # The same region is cut out anew for each of its texts.
    images = [cut(scene.image, scene.boxes[0]) for scene in scenes[:10] for _ in range(3)]
    matcher.match(images, ["ball", "boat", "tree"] * 10)
    assert seen == {"images": 10, "texts": 3, "pairs": 30}


def test_the_ends_of_a_long_thin_image_count(matcher):
    plain = np.full((16, 200, 3), 90, np.uint8)
    marked = plain.copy()
    marked[:, :50] = (230, 30, 30)
    itc, _ = matcher.match([plain, marked], ["ball", "ball"])
    assert abs(itc[0] - itc[1]) > 1e-3


def test_half_precision_changes_little(matcher, crops):
    half = ImageTextMatcher(ImageTextMatcherSettings(model="miniature:image_text_matcher", dtype="bfloat16"))
    for scores, rough in zip(matcher.match(crops, TEXTS), half.match(crops, TEXTS), strict=True):
        np.testing.assert_allclose(scores, rough, atol=0.1)


def test_no_pairs_have_no_scores(matcher):
    itc, itm = matcher.match([], [])
    assert itc.shape == itm.shape == (0,)
