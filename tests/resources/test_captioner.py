import json
import random
import shutil

import numpy as np
import pytest

from resources.captioner import Captioner, CaptionerSettings
from resources.images.crops import cut
from resources.loading import weights
from resources.miniature.scenes import draw_scene

MODEL = "miniature:captioner"
SETTINGS = CaptionerSettings(model=MODEL, max_new_tokens=32)
WHAT = "what is this ?"
DIFFERENT = "what is different ?"


@pytest.fixture(scope="module")
def folder():
    return weights.locate(MODEL)


@pytest.fixture(scope="module")
def captioner():
    return Captioner(SETTINGS)


@pytest.fixture(scope="module")
def scenes():
    return [draw_scene(random.Random(seed)) for seed in range(12)]


@pytest.fixture(scope="module")
def crops(scenes):
    return [cut(scene.image, scene.boxes[0], padding=2) for scene in scenes]


@pytest.fixture(scope="module")
def mixed(crops):
    """Questions about one and about two images, in turn."""
    images = [crops[at : at + 1] if at % 2 else crops[at : at + 2] for at in range(7)]
    return images, [DIFFERENT if len(group) == 2 else WHAT for group in images]


def test_a_region_is_named(captioner, scenes, crops):
    answers = captioner.answer([[crop] for crop in crops], [WHAT] * len(crops))
    right = [answer == scene.objects[0].phrase for answer, scene in zip(answers, scenes, strict=True)]
    assert sum(right) >= 0.8 * len(crops)


def test_a_difference_names_both_sides(captioner, scenes, crops):
    pairs = [(at, at + 1) for at in range(0, len(crops), 2)]
    answers = captioner.answer([[crops[left], crops[right]] for left, right in pairs], [DIFFERENT] * len(pairs))
    named = 0
    for answer, (left, right) in zip(answers, pairs, strict=True):
        one, other = scenes[left].objects[0].phrase, scenes[right].objects[0].phrase
        named += answer == f"the left image shows {one} and the right image shows {other}"
    assert named >= 0.5 * len(pairs)


def test_answers_do_not_depend_on_their_neighbours(captioner, mixed):
    images, questions = mixed
    together = captioner.answer(images, questions)
    for batch_size in (1, 3):
        other = Captioner(SETTINGS.model_copy(update={"batch_size": batch_size}))
        assert other.answer(images, questions) == together
    assert captioner.answer(images[::-1], questions[::-1]) == together[::-1]


def test_the_order_of_the_images_counts(captioner, crops):
    left_right, right_left = captioner.answer([crops[:2], crops[1::-1]], [DIFFERENT] * 2)
    assert left_right != right_left


def test_the_answer_is_only_what_is_new_and_is_cut_off(crops):
    short = Captioner(SETTINGS.model_copy(update={"max_new_tokens": 2}))
    (answer,) = short.answer([crops[:1]], [WHAT])
    assert len(answer.split()) == 2
    assert "what" not in answer


def test_an_image_three_pixels_high_is_an_image(captioner, crops):
    flat = np.repeat(crops[0][:3, :30], 1, axis=0)
    assert flat.shape[0] == 3
    assert all(captioner.answer([[flat], [crops[0][:1, :1]]], [WHAT] * 2))


def test_a_processor_that_would_crop_the_centre_sees_the_whole_image(captioner, folder, tmp_path, crops):
    shutil.copytree(folder, tmp_path / "cropping")
    file = tmp_path / "cropping" / "processor_config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    side = config["image_processor"]["size"]["height"]
    config["image_processor"] |= {
        "do_center_crop": True,
        "size": {"shortest_edge": side},
        "crop_size": {"height": side, "width": side},
    }
    file.write_text(json.dumps(config), encoding="utf-8")
    cropping = Captioner(SETTINGS.model_copy(update={"model": str(tmp_path / "cropping")}))
    # An object that stands at one end of a long strip.
    strip = np.concatenate([crops[0], np.full((crops[0].shape[0], 90, 3), 128, np.uint8)], axis=1)
    shown = [[strip], [crops[1]]]
    for one, other in zip(_pixels(captioner, shown), _pixels(cropping, shown), strict=True):
        np.testing.assert_array_equal(one, other)
    assert cropping.answer(shown, [WHAT] * 2) == captioner.answer(shown, [WHAT] * 2)


def _pixels(captioner, images):
    """What the model is given to see, for images one by one."""
    return [captioner._processor.image_processor(group[0])["pixel_values"][0] for group in images]


def test_a_model_without_a_chat_template_is_given_images_then_text(folder, tmp_path, crops):
    shutil.copytree(folder, tmp_path / "plain")
    (tmp_path / "plain" / "chat_template.jinja").unlink()
    plain = Captioner(SETTINGS.model_copy(update={"model": str(tmp_path / "plain")}))
    assert plain._prompt(2, WHAT) == f"<image><image>{WHAT}"
    assert len(plain.answer([crops[:1], crops[:2]], [WHAT] * 2)) == 2


def test_half_precision_gives_mostly_the_same_answers(captioner, crops):
    half = Captioner(SETTINGS.model_copy(update={"dtype": "bfloat16"}))
    images, questions = [[crop] for crop in crops], [WHAT] * len(crops)
    same = zip(captioner.answer(images, questions), half.answer(images, questions), strict=True)
    assert sum(one == other for one, other in same) >= len(crops) / 2


def test_no_questions_have_no_answers(captioner):
    assert captioner.answer([], []) == []
